//! Certificates that are wrong in one way each, and those that are right although they look odd: both roles, both versions,
//! each with its own message. The refused side hears an alert, and no byte of the app passes.
use bins::outcome::Code;
use proto_core::tls::{
    ClientAuth, ClientSetup, Common, Identity, Peers, ServerSetup, Skip, revocation_lists, tls_version,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    NameConstraints, SanType,
};
use tests::certs::{self, Ca, Made, day, self_signed};
use tests::tls::Pair;

/// What one side shows, and what the other says.
pub struct Case {
    pub name: &'static str,
    pub identity: Identity,
    /// Revocation lists of the side that checks.
    pub lists: Vec<String>,
    /// The host that a client asks for.
    pub host: &'static str,
    /// The reason, and a part of the detail; `Ok`: it is accepted.
    pub verdict: Result<(), (&'static str, &'static str)>,
}

fn case(name: &'static str, made: &Made, rest: &[&Made], verdict: Result<(), (&'static str, &'static str)>) -> Case {
    Case { name, identity: made.identity(rest), lists: Vec::new(), host: "www.example.com", verdict }
}

fn versions() -> [Common; 2] {
    ["1.2", "1.3"].map(|v| Common { versions: vec![tls_version(v).expect("a version")], ..Common::default() })
}

fn lists(case: &Case, common: Common) -> Common {
    let all = case.lists.iter().flat_map(|l| revocation_lists(l.as_bytes()).expect("a list"));
    Common { revoked: all.collect(), ..common }
}

/// Checks a case whose certificate is a server's, or a client's.
fn check(case: &Case, as_server: bool, trusted: &Ca, good: &Made) {
    for common in versions() {
        let (mut of_client, mut of_server) = (common.clone(), common);
        let mut clients = ClientAuth::No;
        if as_server {
            of_server.identity = Some(case.identity.clone());
            of_client = lists(case, of_client);
        } else {
            of_server = lists(case, of_server);
            of_server.identity = Some(good.identity(&[]));
            of_client.identity = Some(case.identity.clone());
            clients = ClientAuth::Required(trusted.made.root());
        }
        let peers = Peers { roots: Some(trusted.made.root()), ..Peers::default() };
        let server = ServerSetup::new(of_server, clients).expect("a setup");
        let client = ClientSetup::new(of_client, peers).expect("a setup");
        let mut p = Pair::new(&client, &server, if as_server { case.host } else { "www.example.com" }, 1 << 20);
        p.client.out.put(b"question");
        p.server.out.put(b"answer");
        p.run(|| usize::MAX);
        let (judge, judged) = if as_server { (&p.client, &p.server) } else { (&p.server, &p.client) };
        let told = judge.grounds().map(|g| (g.defects[0].reason.clone(), g.defects[0].detail.clone()));
        match case.verdict {
            Ok(()) => assert_eq!((told, judged.fault), (None, None), "{}", case.name),
            Err((reason, detail)) => {
                let (r, d) = told.unwrap_or_else(|| panic!("{}: accepted", case.name));
                assert_eq!(r, reason, "{} ({d})", case.name);
                assert!(d.contains(detail), "{}: {d:?} has no {detail:?}", case.name);
                assert_eq!(bins::tls::failure(judge.grounds().expect("told")).code, Code::Tls, "{}", case.name);
                assert!(judge.plain.is_empty(), "{}: nothing passes", case.name);
                assert!(judged.plain.is_empty() || !as_server, "{}", case.name);
                let alert = judged.grounds().and_then(|g| g.alert);
                assert!(alert.is_some_and(|a| a >= 40), "{}: {alert:?}", case.name);
            }
        }
    }
}

const EXPIRED: &str = "certificate has expired";
const EARLY: &str = "certificate is not yet valid";
const NAME: &str = "hostname mismatch";
const ISSUER: &str = "unable to get local issuer certificate";
const SELF: &str = "self signed certificate";
const REVOKED: &str = "certificate revoked";
const UNKNOWN: &str = "revocation status unknown";

/// A change of good parameters.
fn with(mut p: CertificateParams, f: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    f(&mut p);
    p
}

fn expired(p: &mut CertificateParams) {
    (p.not_before, p.not_after) = (day(2023, 1, 1), day(2024, 3, 25));
}

fn early(p: &mut CertificateParams) {
    (p.not_before, p.not_after) = (day(2024, 9, 1), day(2025, 1, 1));
}

/// Cases that are the same for either role, of parameters that are good for it.
fn common_cases(
    root: &Ca,
    good: &dyn Fn() -> CertificateParams,
    wrong_use: &'static str,
    other: ExtendedKeyUsagePurpose,
) -> Vec<Case> {
    let evil = Ca::named("Evil CA");
    let twin = Ca::named("My Chat CA"); // of the same name, with another key
    let middle = root.below(certs::ca("Middle CA"));
    let old_middle = root.below(with(certs::ca("Old CA"), expired));
    let early_middle = root.below(with(certs::ca("Early CA"), early));
    let no_ca = root.below(with(certs::ca("No CA"), |p| p.is_ca = IsCa::ExplicitNoCa));
    let short = root.below(with(certs::ca("Short CA"), |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))));
    let below_short = short.below(certs::ca("Too deep"));
    let unknown_middle = evil.below(certs::ca("Evil middle"));
    let leaf = root.sign(good());
    let through = middle.sign(good());
    let revoked = root.sign(good());
    let mut all = vec![
        case("good", &leaf, &[], Ok(())),
        case("root sent along", &leaf, &[&root.made], Ok(())),
        case("through an intermediate", &through, &[&middle.made], Ok(())),
        case("unneeded certificates", &leaf, &[&middle.made, &evil.made], Ok(())),
        case("order does not matter", &through, &[&root.made, &middle.made], Ok(())),
        case("no dates but for a while", &root.sign(with(good(), |p| p.not_after = day(2024, 6, 2))), &[], Ok(())),
        case(
            "expired",
            &root.sign(with(good(), expired)),
            &[],
            Err((EXPIRED, "was valid until 2024-03-25 00:00:00 UTC")),
        ),
        case(
            "expired yesterday",
            &root.sign(with(good(), |p| p.not_after = day(2024, 5, 31))),
            &[],
            Err((EXPIRED, "now is 2024-06-01")),
        ),
        case("not yet valid", &root.sign(with(good(), early)), &[], Err((EARLY, "is valid from 2024-09-01"))),
        case(
            "valid from tomorrow",
            &root.sign(with(good(), |p| p.not_before = day(2024, 6, 2))),
            &[],
            Err((EARLY, "2024-06-02")),
        ),
        case(
            "intermediate expired",
            &old_middle.sign(good()),
            &[&old_middle.made],
            Err((EXPIRED, "CN=Old CA was valid until")),
        ),
        case(
            "intermediate not yet valid",
            &early_middle.sign(good()),
            &[&early_middle.made],
            Err((EARLY, "CN=Early CA is valid from")),
        ),
        case("intermediate missing", &through, &[], Err((ISSUER, "its issuer 'CN=Middle CA' is not included"))),
        case("another intermediate", &through, &[&short.made], Err((ISSUER, "2 certificates"))),
        case("unknown CA", &evil.sign(good()), &[], Err((ISSUER, "'CN=Evil CA'"))),
        case(
            "unknown CA, root sent",
            &evil.sign(good()),
            &[&evil.made],
            Err(("self signed certificate in certificate chain", "CN=Evil CA is not in the trust store")),
        ),
        case(
            "unknown intermediate",
            &unknown_middle.sign(good()),
            &[&unknown_middle.made],
            Err((ISSUER, "'CN=Evil CA'")),
        ),
        case("self signed", &self_signed(good()), &[], Err((SELF, "is its own issuer"))),
        case(
            "self signed and a CA",
            &self_signed(with(good(), |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            &[],
            Err((SELF, "is its own issuer")),
        ),
        case(
            "CA of the same name",
            &twin.sign(good()),
            &[],
            Err(("certificate signature failure", "is not signed by the key of 'CN=My Chat CA'")),
        ),
        case(
            "issuer is no CA",
            &no_ca.sign(good()),
            &[&no_ca.made],
            Err(("issuer is not a CA", "signs others and may not")),
        ),
        case(
            "too deep",
            &below_short.sign(good()),
            &[&below_short.made, &short.made],
            Err(("chain is longer than its CA allows", "")),
        ),
        case(
            "wrong use",
            &root.sign(with(good(), |p| p.extended_key_usages = vec![other.clone()])),
            &[],
            Err((wrong_use, "it is for")),
        ),
        case(
            "use for signing code",
            &root.sign(with(good(), |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning])),
            &[],
            Err((wrong_use, "1.3.6.1.5.5.7.3.3")),
        ),
        case("for both uses", &root.sign(with(good(), |p| p.extended_key_usages.push(other.clone()))), &[], Ok(())),
        case("without a use", &root.sign(with(good(), |p| p.extended_key_usages.clear())), &[], Ok(())),
        case(
            "unknown critical extension",
            &root.sign(with(good(), |p| {
                let mut e = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
                e.set_criticality(true);
                p.custom_extensions.push(e);
            })),
            &[],
            Err(("certificate has an unknown critical extension", "")),
        ),
        case(
            "unknown extension",
            &root.sign(with(good(), |p| {
                p.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]));
            })),
            &[],
            Ok(()),
        ),
    ];
    let listed = |name, made: &Made, rest: &[&Made], lists, verdict| Case { lists, ..case(name, made, rest, verdict) };
    let list = |of: &[&Made]| root.revoke(of, true);
    all.extend([
        listed("revoked", &revoked, &[], vec![list(&[&revoked])], Err((REVOKED, "serial "))),
        listed("another one revoked", &leaf, &[], vec![list(&[&revoked])], Ok(())),
        listed("revoked among many", &revoked, &[], vec![list(&[&leaf, &revoked, &through])], Err((REVOKED, ""))),
        listed(
            "intermediate revoked",
            &through,
            &[&middle.made],
            vec![list(&[&middle.made]), middle.revoke(&[], true)],
            Err((REVOKED, "")),
        ),
        listed(
            "no list of the intermediate",
            &through,
            &[&middle.made],
            vec![list(&[])],
            Err((UNKNOWN, "no revocation list of CN=Middle CA")),
        ),
        listed("list too old", &leaf, &[], vec![root.revoke(&[], false)], Err((UNKNOWN, "was good until 2024-03-01"))),
        listed("list of another CA", &leaf, &[], vec![evil.revoke(&[], true)], Err((UNKNOWN, "no revocation list of"))),
        listed(
            "list with a wrong signature",
            &leaf,
            &[],
            vec![twin.revoke(&[], true)],
            Err((UNKNOWN, "signature is wrong")),
        ),
    ]);
    all
}

pub fn root() -> Ca {
    Ca::named("My Chat CA")
}

fn server() -> CertificateParams {
    certs::server(&["www.example.com", "localhost"])
}

/// What servers show to who believes `root`.
pub fn server_cases(root: &Ca) -> Vec<Case> {
    let mut all = common_cases(root, &server, "certificate is not for server use", ExtendedKeyUsagePurpose::ClientAuth);
    let limited = root.below(with(certs::ca("Limited CA"), |p| {
        p.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
            excluded_subtrees: Vec::new(),
        });
    }));
    let allowed = root.below(with(certs::ca("Example CA"), |p| {
        p.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".into())],
            excluded_subtrees: Vec::new(),
        });
    }));
    all.push(case(
        "name not permitted",
        &limited.sign(certs::server(&["www.example.com"])),
        &[&limited.made],
        Err(("name constraints violated", "www.example.com")),
    ));
    all.push(case("name permitted", &allowed.sign(certs::server(&["www.example.com"])), &[&allowed.made], Ok(())));
    let ca_leaf = root.sign(with(server(), |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)));
    all.push(case(
        "CA as server",
        &ca_leaf,
        &[],
        Err(("CA certificate used as server certificate", "is marked as a CA")),
    ));
    let no_san = root.sign(with(server(), |p| p.subject_alt_names.clear()));
    all.push(case("no SAN", &no_san, &[], Err((NAME, "certificate has no subjectAltName"))));
    let only_ip = root.sign(certs::server(&["127.0.0.1"]));
    all.push(case(
        "SAN of an address only",
        &only_ip,
        &[],
        Err((NAME, "certificate is for 127.0.0.1, not for www.example.com")),
    ));
    let mail = root.sign(with(server(), |p| {
        p.subject_alt_names = vec![SanType::Rfc822Name("a@www.example.com".try_into().expect("ASCII"))]
    }));
    all.push(case("SAN of a mailbox", &mail, &[], Err((NAME, "no host"))));
    for (host, names, verdict) in [
        ("localhost", &["www.example.com", "localhost"][..], Ok(())),
        ("WWW.EXAMPLE.COM", &["www.example.com"], Ok(())),
        ("www.example.com", &["WWW.Example.com"], Ok(())),
        (
            "other.example.com",
            &["www.example.com", "localhost"],
            Err((NAME, "certificate is for www.example.com, localhost, not for other.example.com")),
        ),
        ("example.com", &["www.example.com"], Err((NAME, "not for example.com"))),
        ("www.example.com", &["*.example.com"], Ok(())),
        ("example.com", &["*.example.com"], Err((NAME, "*.example.com"))),
        ("a.b.example.com", &["*.example.com"], Err((NAME, "not for a.b.example.com"))),
        ("www.example.com", &["w*.example.com"], Err((NAME, ""))),
        ("www.example.com", &["www.*.com"], Err((NAME, ""))),
        ("www.example.com", &["*"], Err((NAME, ""))),
        ("www.example.com.evil.test", &["www.example.com"], Err((NAME, ""))),
        ("127.0.0.1", &["127.0.0.1"], Ok(())),
        ("127.0.0.2", &["127.0.0.1"], Err((NAME, "not for 127.0.0.2"))),
        ("localhost", &["localhost."], Err((NAME, ""))),
        ("xn--bcher-kva.example", &["xn--bcher-kva.example"], Ok(())),
        ("::1", &["::1"], Ok(())),
        ("::2", &["::1"], Err((NAME, "certificate is for ::1"))),
        ("127.0.0.1", &["localhost"], Err((NAME, "not for 127.0.0.1"))),
    ] {
        let made = root.sign(certs::server(names));
        all.push(Case { host, ..case(names[0], &made, &[], verdict) });
    }
    all
}

#[test]
fn certificates_of_servers() {
    let root = root();
    let all = server_cases(&root);
    assert!(all.len() >= 60, "{} cases", all.len());
    let good = root.sign(server());
    all.iter().for_each(|c| check(c, true, &root, &good));
}

#[test]
fn certificates_of_clients() {
    let root = root();
    let client = || certs::client("alice@example.com");
    let mut all =
        common_cases(&root, &client, "certificate is not for client use", ExtendedKeyUsagePurpose::ServerAuth);
    let ca_leaf = root.sign(with(client(), |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)));
    all.push(case(
        "CA as client",
        &ca_leaf,
        &[],
        Err(("CA certificate used as client certificate", "is marked as a CA")),
    ));
    all.push(case("no SAN", &root.sign(with(client(), |p| p.subject_alt_names.clear())), &[], Ok(())));
    let good = root.sign(server());
    all.iter().for_each(|c| check(c, false, &root, &good));
    for common in versions() {
        let of_server = Common { identity: Some(good.identity(&[])), ..common.clone() };
        let server = ServerSetup::new(of_server, ClientAuth::Required(root.made.root())).expect("a setup");
        let peers = Peers { roots: Some(root.made.root()), ..Peers::default() };
        let client = ClientSetup::new(common, peers).expect("a setup");
        let mut p = Pair::new(&client, &server, "localhost", 1 << 20);
        p.client.out.put(b"question");
        p.run(|| usize::MAX);
        assert_eq!((p.server.reason(), &p.server.plain[..]), (Some("no client certificate"), &b""[..]));
        assert!(p.client.grounds().is_some_and(|g| matches!(g.alert, Some(116 | 40))), "{:?}", p.client.grounds());
    }
}

#[test]
fn all_that_is_wrong_is_told_and_can_be_ignored_apart() {
    let root = root();
    let made = Ca::named("Evil CA").sign(with(certs::server(&["other.test"]), expired));
    let server = ServerSetup::new(Common { identity: Some(made.identity(&[])), ..Common::default() }, ClientAuth::No)
        .expect("a setup");
    let run = |skip: Skip, pins: Vec<[u8; 32]>| {
        let peers = Peers { roots: Some(root.made.root()), skip, pins, ..Peers::default() };
        let client = ClientSetup::new(Common::default(), peers).expect("a setup");
        let mut p = Pair::new(&client, &server, "www.example.com", 1 << 20);
        p.run(|| usize::MAX);
        p
    };
    let words = |all: &[proto_core::Defect]| all.iter().map(|d| d.word).collect::<Vec<_>>();
    let none = Skip::default();
    let p = run(none, Vec::new());
    let told = words(&p.client.grounds().expect("refused").defects);
    assert_eq!(told, ["expired", "unknown_issuer", "hostname_mismatch"]);
    assert_eq!(p.client.grounds().map(|g| g.chain.len()), Some(1), "what was shown is there to be looked at");
    let p = run(Skip { chain: true, ..none }, Vec::new());
    assert_eq!(p.client.reason(), Some(NAME), "the name still counts");
    let p = run(Skip { name: true, ..none }, Vec::new());
    assert_eq!(p.client.reason(), Some(EXPIRED), "the chain still counts");
    let p = run(Skip { name: true, chain: true }, Vec::new());
    let info = p.client.info.as_ref().and_then(|i| i.secure.as_ref()).expect("accepted");
    assert_eq!(words(&info.ignored), told, "and told");
    let p = run(Skip { name: true, chain: true }, vec![[7; 32]]);
    assert_eq!(p.client.reason(), Some("public key pin mismatch"), "a pin counts whatever is ignored");
    let key = proto_core::x509::Certificate::parse(made.cert.der()).expect("one").spki;
    let pin = <[u8; 32]>::try_from(proto_core::tls::sha256(key).as_slice()).expect("32 bytes");
    let p = run(Skip { name: true, chain: true }, vec![[7; 32], pin]);
    assert!(p.client.info.is_some(), "the control");
}

#[test]
fn what_the_two_sides_do_not_share_is_told() {
    let root = root();
    let good = root.sign(server());
    let run = |of_client: Common, of_server: Common| {
        let of_server = Common { identity: Some(good.identity(&[])), ..of_server };
        let server = ServerSetup::new(of_server, ClientAuth::No).expect("a setup");
        let peers = Peers { roots: Some(root.made.root()), ..Peers::default() };
        let client = ClientSetup::new(of_client, peers).expect("a setup");
        let mut p = Pair::new(&client, &server, "localhost", 1 << 20);
        p.run(|| usize::MAX);
        [p.server.reason(), p.client.reason()].map(|r| r.map(String::from))
    };
    let [old, new] = versions();
    let [server, client] = run(old.clone(), new.clone());
    assert_eq!(server.as_deref(), Some("no common protocol version"));
    assert_eq!(client.as_deref(), Some("peer sent alert protocol_version (70)"));
    let suite = |name: &str| Common { suites: vec![name.into()], ..new.clone() };
    let [server, client] = run(suite("TLS_AES_128_GCM_SHA256"), suite("TLS_AES_256_GCM_SHA384"));
    assert_eq!(server.as_deref(), Some("no common cipher suite"));
    assert_eq!(client.as_deref(), Some("peer sent alert handshake_failure (40)"));
    let alpn = |name: &[u8]| Common { alpn: vec![name.to_vec()], ..new.clone() };
    let [server, client] = run(alpn(b"h2"), alpn(b"http/1.1"));
    assert_eq!(server.as_deref(), Some("no common application protocol"));
    assert_eq!(client.as_deref(), Some("peer sent alert no_application_protocol (120)"));
    assert_eq!(run(alpn(b"h2"), alpn(b"h2")), [None, None]);
    assert_eq!(run(Common::default(), alpn(b"h2")), [None, None], "who does not ask need not agree");
    let bad = ServerSetup::new(Common { identity: Some(good.identity(&[])), ..suite("TLS_NO") }, ClientAuth::No);
    assert!(bad.expect_err("no such suite").0.starts_with("no cipher suite 'TLS_NO'; there are TLS_AES_"));
}
