//! Conditional requests (RFC 9110 13).
use super::date;
use super::wants::{Wants, bytes};

/// What a file is told apart by.
#[derive(Clone, Copy, Debug)]
pub struct Version<'f> {
    /// Its entity tag with the quotes; strong.
    pub etag: &'f str,
    /// Last change, seconds since 1970.
    pub modified_s: i64,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Answer as if there were none.
    Go,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Decides, in the order of RFC 9110 13.2.2.
pub fn decide(wants: &Wants<'_>, file: Version<'_>, now_s: i64) -> Outcome {
    // What is in the future is no date that we can have given out.
    let since = |field| date::parse(field).filter(|at| *at <= now_s);
    if let Some(list) = bytes(&wants.if_match) {
        if !lists(list, file.etag, false) {
            return Outcome::Failed;
        }
    } else if bytes(&wants.if_unmodified_since).and_then(since).is_some_and(|at| file.modified_s > at) {
        return Outcome::Failed;
    }
    if let Some(list) = bytes(&wants.if_none_match) {
        if lists(list, file.etag, true) {
            return Outcome::NotModified;
        }
    } else if bytes(&wants.if_modified_since).and_then(since).is_some_and(|at| file.modified_s <= at) {
        return Outcome::NotModified;
    }
    Outcome::Go
}

/// `Range` counts: there is no `If-Range`, or it names this very version (RFC 9110 13.1.5). A date does so only if the
/// file cannot have changed twice in that second.
pub fn range_counts(wants: &Wants<'_>, file: Version<'_>, now_s: i64) -> bool {
    match bytes(&wants.if_range) {
        None => true,
        Some(tag) if tag.starts_with(b"\"") => tag == file.etag.as_bytes(),
        Some(at) => date::parse(at) == Some(file.modified_s) && file.modified_s < now_s,
    }
}

/// A list of entity tags has this one, or is `*`. What is no list ends there.
fn lists(list: &[u8], etag: &str, weak: bool) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after;
            continue;
        }
        let (is_weak, tag) = rest.strip_prefix(b"W/").map_or((false, rest), |tag| (true, tag));
        let Some(inner) = tag.strip_prefix(b"\"") else { return false };
        let Some(end) = inner.iter().position(|b| *b == b'"') else { return false };
        let (whole, after) = tag.split_at(end + 2);
        if whole == etag.as_bytes() && (weak || !is_weak) {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Version<'_> = Version { etag: "\"5-a\"", modified_s: 784_111_777 };
    const NOW: i64 = 800_000_000;
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const FUTURE: &str = "Sun, 06 Nov 2094 08:49:37 GMT";

    fn wants(list: &[(&str, &'static str)]) -> Wants<'static> {
        let mut w = Wants::default();
        for (name, value) in list {
            let slot = match *name {
                "if-match" => &mut w.if_match,
                "if-none-match" => &mut w.if_none_match,
                "if-modified-since" => &mut w.if_modified_since,
                "if-unmodified-since" => &mut w.if_unmodified_since,
                "if-range" => &mut w.if_range,
                other => panic!("{other}"),
            };
            *slot = Some(value.as_bytes().into());
        }
        w
    }

    #[test]
    fn table() {
        use Outcome::{Failed, Go, NotModified};
        for (list, want) in [
            (&[][..], Go),
            (&[("if-none-match", "\"5-a\"")], NotModified),
            (&[("if-none-match", "W/\"5-a\"")], NotModified),
            (&[("if-none-match", "\"x\", ,W/\"y,\" , \"5-a\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"x\"")], Go),
            (&[("if-none-match", "5-a")], Go),
            (&[("if-none-match", "\"5-a")], Go),
            (&[("if-none-match", "")], Go),
            (&[("if-modified-since", AT)], NotModified),
            (&[("if-modified-since", BEFORE)], Go),
            (&[("if-modified-since", FUTURE)], Go),
            (&[("if-modified-since", "Sun, 06 Nov 99999 08:49:37 GMT")], Go),
            (&[("if-none-match", "\"x\""), ("if-modified-since", AT)], Go),
            (&[("if-match", "\"5-a\"")], Go),
            (&[("if-match", "W/\"5-a\"")], Failed),
            (&[("if-match", "\"x\"")], Failed),
            (&[("if-match", "*")], Go),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", AT)], Go),
            (&[("if-match", "*"), ("if-unmodified-since", BEFORE)], Go),
            (&[("if-match", "*"), ("if-none-match", "*")], NotModified),
        ] {
            assert_eq!(decide(&wants(list), FILE, NOW), want, "{list:?}");
        }
    }

    #[test]
    fn if_range() {
        for (value, want) in
            [("\"5-a\"", true), ("W/\"5-a\"", false), ("\"x\"", false), (AT, true), (BEFORE, false), ("", false)]
        {
            assert_eq!(range_counts(&wants(&[("if-range", value)]), FILE, NOW), want, "{value}");
        }
        assert!(range_counts(&wants(&[]), FILE, NOW));
        assert!(
            !range_counts(&wants(&[("if-range", AT)]), FILE, FILE.modified_s),
            "it may change again in this second"
        );
    }

    #[test]
    fn ten_thousand_tags() {
        let list = "W/\"x\",".repeat(10_000) + "\"5-a\"";
        assert!(lists(list.as_bytes(), FILE.etag, true));
    }
}
