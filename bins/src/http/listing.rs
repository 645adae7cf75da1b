//! Lists of directories: a page for people, JSON for programs. Names are somebody else's text in both.
use super::target::encode;
use crate::text::{Json, is_unsafe};
use core::fmt::Write;
use proto_core::Entry;

/// Names that are shown; how many more there are is said.
pub const MAX_NAMES: usize = 10_000;
/// Schema of the JSON form.
const SCHEMA: &str = "drywire/httpserver-listing/1";

/// Text in HTML, with nothing in it that could be markup, or reorder or hide what is shown.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_unsafe(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Sends files into the directory.
const FORM: &str = "<form method=\"post\" enctype=\"multipart/form-data\">\n\
                    <input type=\"file\" name=\"file\" multiple required>\n<button>Upload</button>\n</form>\n";

/// The page of a directory; `path` is without slashes at its ends. `takes`: files may be sent there.
pub fn html(path: &str, entries: &[Entry], takes: bool) -> String {
    let mut title = String::from("/");
    escape(path, &mut title);
    if !path.is_empty() {
        title.push('/');
    }
    let mut out = String::from("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n");
    let _ = writeln!(out, "<title>Index of {title}</title>\n<h1>Index of {title}</h1>\n<ul>"); // a String takes it all
    if !path.is_empty() {
        out.push_str("<li><a href=\"../\">../</a></li>\n");
    }
    for e in entries.iter().take(MAX_NAMES) {
        let slash = if e.dir { "/" } else { "" };
        out.push_str("<li>");
        // A name that is not UTF-8 came with replacement characters: no link would find it.
        let linked = !e.name.contains('\u{fffd}');
        if linked {
            // "./" keeps a colon in a name from being read as a scheme.
            let _ = write!(out, "<a href=\"./{}{slash}\">", encode(&e.name));
        }
        escape(&e.name, &mut out);
        out.push_str(slash);
        out.push_str(if linked { "</a></li>\n" } else { "</li>\n" });
    }
    if let Some(more) = entries.len().checked_sub(MAX_NAMES).filter(|n| *n > 0) {
        let _ = writeln!(out, "<li>and {more} more</li>");
    }
    out.push_str("</ul>\n");
    if takes {
        out.push_str(FORM);
    }
    out
}

/// The same for programs.
pub fn json(path: &str, entries: &[Entry]) -> String {
    let mut out = format!("{{\"schema\":\"{SCHEMA}\",\"path\":{},\"entries\":[", Json(path));
    for (i, e) in entries.iter().take(MAX_NAMES).enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{{\"name\":{},\"dir\":{}}}", Json(&e.name), e.dir);
    }
    let _ = writeln!(out, "],\"more\":{}}}", entries.len().saturating_sub(MAX_NAMES));
    out
}

/// What was stored, for programs.
pub fn stored(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| Json(n).to_string()).collect();
    format!("{{\"schema\":\"drywire/httpserver-stored/1\",\"names\":[{}]}}\n", names.join(","))
}

/// The client would rather have JSON than HTML.
pub fn wants_json(accept: Option<&[u8]>) -> bool {
    let Some(accept) = accept else { return false };
    let at = |what: &str| accept.windows(what.len()).position(|w| w.eq_ignore_ascii_case(what.as_bytes()));
    match (at("application/json"), at("text/html")) {
        (Some(json), Some(html)) => json < html,
        (json, _) => json.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, dir: bool) -> Entry {
        Entry { name: name.into(), dir }
    }

    #[test]
    fn names_are_text_never_markup() {
        let evil = [
            entry("<script>alert(1)</script>", false),
            entry("\" onmouseover=\"x", false),
            entry("a\r\nb\u{202e}c", true),
            entry("javascript:alert(1)", false),
            entry("not\u{fffd}utf8", false),
        ];
        let page = html("x<y>", &evil, false);
        assert_eq!(
            page,
            "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>Index of /x&lt;y&gt;/</title>\n<h1>Index of /x&lt;y&gt;/</h1>\n<ul>\n\
             <li><a href=\"../\">../</a></li>\n\
             <li><a href=\"./%3Cscript%3Ealert%281%29%3C/script%3E\">&lt;script&gt;alert(1)&lt;/script&gt;</a></li>\n\
             <li><a href=\"./%22%20onmouseover%3D%22x\">&quot; onmouseover=&quot;x</a></li>\n\
             <li><a href=\"./a%0D%0Ab%E2%80%AEc/\">a\u{fffd}\u{fffd}b\u{fffd}c/</a></li>\n\
             <li><a href=\"./javascript%3Aalert%281%29\">javascript:alert(1)</a></li>\n\
             <li>not\u{fffd}utf8</li>\n</ul>\n"
        );
        assert_eq!(
            json("a\"b", &evil[1..2]),
            "{\"schema\":\"drywire/httpserver-listing/1\",\"path\":\"a\\\"b\",\"entries\":[{\"name\":\"\\\" onmouseover=\\\"x\",\"dir\":false}],\"more\":0}\n"
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let many: Vec<Entry> = (0..MAX_NAMES + 3).map(|i| entry(&i.to_string(), false)).collect();
        assert!(html("", &many, false).ends_with("<li>and 3 more</li>\n</ul>\n"));
        assert!(json("", &many).ends_with("],\"more\":3}\n"));
    }

    #[test]
    fn who_gets_json() {
        for (accept, want) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), true),
            (Some("text/html,application/json"), false),
            (Some("application/JSON, text/html;q=0.5"), true),
        ] {
            assert_eq!(wants_json(accept.map(str::as_bytes)), want, "{accept:?}");
        }
    }
}
