use super::*;

fn path(target: &str) -> Result<(String, bool), u16> {
    resolve(target, false).map(|t| (t.path.into_owned(), t.slash)).map_err(Bad::status)
}

#[test]
fn paths_that_stay() {
    for (target, want, slash) in [
        ("/", "", true),
        ("/a", "a", false),
        ("/a/", "a", true),
        ("/a/b.txt?x=/../..", "a/b.txt", false),
        ("/?q", "", true),
        ("/a//b", "a/b", false),
        ("//a", "a", false),
        ("///", "", true),
        ("/./a/./b", "a/b", false),
        ("/a/.", "a", true),
        ("/a/b/..", "a", true),
        ("/a/../b", "b", false),
        ("/a/%2e%2e/b", "b", false),
        ("/a/.%2E/b", "b", false),
        ("/%61%20%C3%A9", "a é", false),
        ("/a%3Fb", "a?b", false),
        ("/%252e%252e/x", "%2e%2e/x", false),
        ("/..;/x", "..;/x", false),
        ("/a;b=c", "a;b=c", false),
        ("/a.", "a.", false),
        ("/a%20", "a ", false),
        ("/.well-known/acme", ".well-known/acme", false),
        ("http://elsewhere/a/b", "a/b", false),
        ("HTTP://h:80", "", true),
        ("http://h?x", "", true),
    ] {
        // "..;" begins with a dot: hidden by default, shown here.
        let got = resolve(target, true).map(|t| (t.path.into_owned(), t.slash));
        assert_eq!(got, Ok((want.into(), slash)), "{target}");
    }
    assert_eq!(resolve("/a?b?c", false).map(|t| t.query), Ok("?b?c"));
}

#[test]
fn names_with_a_dot_are_hidden() {
    for target in ["/.git/config", "/a/.env", "/.%67it", "/%2egit", "/...", "/..;/x", "/.well-known/.secret"] {
        assert_eq!(path(target), Err(404), "{target}");
        assert!(resolve(target, true).is_ok(), "{target}");
    }
    assert_eq!(path("/.well-known/acme"), Ok((".well-known/acme".into(), false)));
}

#[test]
fn malformed_ones() {
    for target in ["/%", "/%2", "/%zz", "/a%0", "/%00", "/a%00.html", "/%+1", "/x/%00/../..", "/%-1"] {
        assert_eq!(path(target), Err(400), "{target}");
    }
}

/// Every way that is known to write "up" and "/", combined: none of them ever gives a path that could leave the root,
/// and whatever leaves it in some reading is refused.
#[test]
fn five_hundred_ways_out() {
    let ups = [
        "..",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "%252e%252e",
        "..%00",
        "%c0%ae%c0%ae",
        "..;",
        "%uff0e%uff0e",
        "...",
        ".. ",
        "%2e%2e%20",
        "%e0%80%ae%e0%80%ae",
    ];
    let separators = ["/", "%2f", "%2F", "\\", "%5c", "%5C", "//", "/./", "%c0%af", "%252f", "/%2f", "\\/"];
    let tails = ["etc/passwd", "canary", "%63anary", "canary%00.html"];
    let mut count = 0;
    for up in ups {
        for separator in separators {
            for tail in tails {
                for times in [1, 3] {
                    let target = format!("/{}{tail}", format!("{up}{separator}").repeat(times));
                    count += 1;
                    let plain = matches!(up, ".." | "%2e%2e" | "%2E%2E" | ".%2e" | "%2e.");
                    match resolve(&target, true) {
                        Ok(t) => {
                            assert!(!plain || separator.contains("%c0") || separator == "%252f", "{target}");
                            let bad = |n: &str| n.is_empty() || n == "." || n == ".." || n.contains(['\0', '\\']);
                            assert!(!t.path.starts_with('/') && !t.path.split('/').any(bad), "{target}: {t:?}");
                        }
                        Err(Bad::Escapes) => assert!(!tail.contains("%00"), "{target}"),
                        Err(_) => assert!(!plain || tail.contains("%00") || separator.contains("%c0"), "{target}"),
                    }
                }
            }
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn a_backslash_is_no_separator() {
    assert_eq!(path("/a\\b"), Err(404));
    assert_eq!(path("/a%5cb"), Err(404));
    assert_eq!(path("/a%2fb"), Err(404));
    assert_eq!(path("/..\\x"), Err(403));
    assert_eq!(path("/..%2fx"), Err(403));
    assert_eq!(path("/a%2f..%2f..%2fx"), Err(403));
    assert_eq!(path("/%ff%fe"), Err(404));
}

#[test]
fn links_are_encoded() {
    assert_eq!(encode("a b/ü\"<>%?#:\r\n"), "a%20b/%C3%BC%22%3C%3E%25%3F%23%3A%0D%0A");
    let name = "a:b c\u{1f600}";
    assert_eq!(path(&format!("/{}", encode(name))), Ok((name.into(), false)));
}
