//! Passwords by host from a netrc file.
use crate::text::Secret;

/// Name and password for `host`, from the text of a netrc file: the first `machine` that fits, else `default`.
pub fn netrc(text: &str, host: &str) -> Option<(String, Secret)> {
    let (mut login, mut password) = (None, None);
    let (mut ours, mut macro_lines) = (false, false);
    for line in text.lines() {
        if macro_lines {
            macro_lines = !line.trim().is_empty(); // a macro ends with an empty line
            continue;
        }
        let mut words = line.split_whitespace().take_while(|w| !w.starts_with('#'));
        while let Some(word) = words.next() {
            match word {
                "machine" | "default" if ours && login.is_some() => {
                    return Some((login?, Secret(password.unwrap_or_default())));
                }
                "machine" => {
                    (ours, login, password) = (words.next().is_some_and(|m| m.eq_ignore_ascii_case(host)), None, None)
                }
                "default" => (ours, login, password) = (true, None, None),
                "login" if ours => login = words.next().map(String::from),
                "password" if ours => password = words.next().map(String::from),
                "login" | "password" | "account" => {
                    words.next();
                }
                "macdef" => {
                    macro_lines = true;
                    break;
                }
                _ => {}
            }
        }
    }
    if ours { Some((login?, Secret(password.unwrap_or_default()))) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits() {
        let text = "machine a login x password 1\nmacdef m\nmachine b login no password no\n\n\
            machine b\n login y # a note\n password 2\nmachine b login z password 3\ndefault login d password 4\n";
        let found = |host| netrc(text, host).map(|(n, p)| (n, p.0));
        assert_eq!(found("a"), Some(("x".into(), "1".into())));
        assert_eq!(found("B"), Some(("y".into(), "2".into())));
        assert_eq!(found("c"), Some(("d".into(), "4".into())));
        assert_eq!(netrc("machine a login x", "b"), None);
        assert_eq!(netrc("machine a password x", "a"), None);
    }
}
