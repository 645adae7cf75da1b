//! What may be reached, by tables.
use super::{NEIGHBOURS, policy};
use crate::socks::policy::{Policy, Rule, Who};
use core::net::IpAddr;

#[test]
fn sk_01_neighbours_are_refused_by_default() {
    assert!(NEIGHBOURS.len() >= 60, "{}", NEIGHBOURS.len());
    let safe = policy(&[], &[]);
    for (ip, kind) in NEIGHBOURS {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!(safe.check(&Who::default(), None, ip, 80), Err((*kind).into()), "{ip}");
        // Neither a name nor a rule for everything opens the door, but an address does.
        let names = policy(&["example.com", "*.com", "*"], &[]);
        assert!(names.check(&Who::default(), Some("example.com"), ip, 80).is_err(), "{ip}");
        assert_eq!(policy(&[kind], &[]).check(&Who::default(), None, ip, 80), Ok(()), "{ip}: --allow {kind}");
        let others = ["loopback", "link-local", "metadata", "multicast", "unspecified", "reserved", "private"];
        let others: Vec<&str> = others.into_iter().filter(|k| k != kind).collect();
        assert!(policy(&others, &[]).check(&Who::default(), None, ip, 80).is_err(), "{ip}: the others");
    }
    for ip in
        ["93.184.216.34", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "2606:4700::1", "fd00::1", "1.1.1.1"]
    {
        assert_eq!(safe.check(&Who::default(), None, ip.parse().unwrap(), 80), Ok(()), "{ip}");
    }
}

#[test]
fn rules_decide_in_their_order() {
    let p = |text: &str| Policy::new(Rule::parse_all(text).unwrap());
    let alice = Who { user: Some(b"alice"), from: Some("10.0.0.5".parse().unwrap()) };
    let go =
        |p: &Policy, who: &Who<'_>, name: Option<&str>, ip: &str, port| p.check(who, name, ip.parse().unwrap(), port);
    let some =
        p("# comment\nallow 10.1.0.0/16:443 user=alice\ndeny 10.0.0.0/8\ndeny *:25 # mail\n\ndeny *.evil.example\n");
    assert_eq!(go(&some, &alice, None, "10.1.2.3", 443), Ok(()));
    assert_eq!(go(&some, &Who::default(), None, "10.1.2.3", 443), Err("deny 10.0.0.0/8".into()));
    assert_eq!(go(&some, &alice, None, "10.1.2.3", 80), Err("deny 10.0.0.0/8".into()));
    assert_eq!(go(&some, &alice, None, "::ffff:10.1.2.3", 80), Err("deny 10.0.0.0/8".into()));
    assert_eq!(go(&some, &alice, None, "1.2.3.4", 25), Err("deny *:25".into()));
    assert_eq!(go(&some, &alice, Some("A.EVIL.example."), "1.2.3.4", 80), Err("deny *.evil.example".into()));
    assert_eq!(go(&some, &alice, Some("evil.example"), "1.2.3.4", 80), Ok(()), "the name itself is another rule");
    let only = p("allow example.com:443\nallow 192.0.2.0/24:1000-2000 from=10.0.0.0/8\ndeny *");
    assert_eq!(go(&only, &alice, Some("example.com"), "1.2.3.4", 443), Ok(()));
    assert_eq!(go(&only, &alice, Some("example.com"), "127.0.0.1", 443), Err("deny *".into()));
    assert_eq!(go(&only, &alice, None, "1.2.3.4", 443), Err("deny *".into()));
    assert_eq!(go(&only, &alice, None, "192.0.2.1", 2000), Ok(()));
    assert_eq!(go(&only, &Who::default(), None, "192.0.2.1", 2000), Err("deny *".into()));
    assert_eq!(only.check_name(&alice, "example.org", 443), Ok(()), "its address may be allowed");
    assert_eq!(policy(&[], &["*.org"]).check_name(&alice, "Example.ORG.", 443), Err("--deny *.org".into()));
    for (deny, ip) in
        [("private", "192.168.1.1"), ("private", "fd00::1"), ("private", "2002:0a00:1::"), ("shared", "100.64.0.1")]
    {
        assert_eq!(go(&policy(&[], &[deny]), &alice, None, ip, 80), Err(format!("--deny {deny}")), "{ip}");
    }
    // What is denied by flag stays denied, whatever is allowed.
    assert_eq!(go(&policy(&["loopback"], &["*:25"]), &alice, None, "127.0.0.1", 25), Err("--deny *:25".into()));
}

#[test]
fn sk_02_names_that_are_numbers_are_refused() {
    let open = policy(&["loopback"], &[]);
    for name in ["127.1", "0", "0x7f000001", "0x7f.1", "1.2.3.04.5", "2130706433", "a.1", "A.0XFF", "127.0.0.1.", "0x"]
    {
        assert!(open.check_name(&Who::default(), name, 80).is_err(), "{name}");
    }
    for name in ["example.com", "1.example", "0xg", "a.b-1", "x1"] {
        assert_eq!(open.check_name(&Who::default(), name, 80), Ok(()), "{name}");
    }
}

#[test]
fn bad_rules_are_named() {
    for (text, line, what) in [
        ("allow 10.0.0.0/33", 1, "'10.0.0.0/33' is not a destination"),
        ("\npermit *", 2, "'permit': expected allow or deny"),
        ("deny", 1, "expected a destination"),
        ("deny *:99999", 1, "'*:99999' is not a destination"),
        ("deny *:20-10", 1, "is not a destination"),
        ("deny 127.1", 1, "is not a destination"),
        ("deny a..b", 1, "is not a destination"),
        ("deny [::1", 1, "is not a destination"),
        ("deny * user=", 1, "'user=': expected user=NAME or from=CIDR"),
        ("deny * from=x", 1, "'x' is not a block of addresses"),
        ("deny * 25", 1, "'25': expected user=NAME or from=CIDR"),
    ] {
        let (n, why) = Rule::parse_all(text).unwrap_err();
        assert!(n == line && why.contains(what), "{text}: {n}: {why}");
    }
}
