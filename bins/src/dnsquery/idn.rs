//! Names in other scripts than Latin: to and from their form for the wire (RFC 3492, RFC 5891).
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::is_nfc;

const BASE: u32 = 36;
const FIRST: u32 = 128;
/// Characters of a label that are taken in: longer ones have no form for the wire.
const LABEL_MAX: usize = 63;

/// `bücher.example` as `xn--bcher-kva.example`. Case is folded and the text composed before; plain ASCII stays as it is.
///
/// # Errors
/// A label that has no such form.
pub fn to_wire(name: &str) -> Result<String, String> {
    if name.is_ascii() {
        return Ok(name.into());
    }
    let labels = name.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']);
    let labels: Result<Vec<String>, String> = labels.map(label).collect();
    Ok(labels?.join("."))
}

fn label(text: &str) -> Result<String, String> {
    if text.is_ascii() {
        return Ok(text.into());
    }
    let folded: String = text.nfc().flat_map(char::to_lowercase).nfc().collect();
    let letter = |c: char| c.is_alphanumeric() || c == '-' || unicode_normalization::char::is_combining_mark(c);
    if !folded.chars().all(letter) || folded.chars().count() > LABEL_MAX {
        return Err(format!("'{}' is not a label of letters and digits", text.escape_debug()));
    }
    encode(&folded).map(|code| format!("xn--{code}")).ok_or_else(|| format!("'{text}' is too long"))
}

/// A line in which names are shown in their own script, where that means exactly the same.
pub fn shown(line: &str) -> String {
    if !line.contains("xn--") {
        return line.into();
    }
    let words: Vec<String> = line
        .split(' ')
        .map(|word| {
            let labels: Vec<String> = word.split('.').map(|l| from_wire(l).unwrap_or_else(|| l.to_string())).collect();
            labels.join(".")
        })
        .collect();
    words.join(" ")
}

/// The text of a label, if it is one that would be written so: nothing hidden, nothing that another form would do for.
fn from_wire(label: &str) -> Option<String> {
    let code = label.strip_prefix("xn--").filter(|c| c.len() <= LABEL_MAX)?;
    let text = decode(code)?;
    let again = self::label(&text).ok()?;
    let plain = is_nfc(&text) && !text.chars().any(crate::text::is_unsafe) && !text.is_ascii();
    (again.eq_ignore_ascii_case(label) && plain).then_some(text)
}

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 455 {
        delta /= BASE - 1;
        k += BASE;
    }
    k + BASE * delta / (delta + 38)
}

/// The threshold of digit `k`.
fn threshold(k: u32, bias: u32) -> u32 {
    k.saturating_sub(bias).clamp(1, 26)
}

fn encode(text: &str) -> Option<String> {
    let mut out: String = text.chars().filter(char::is_ascii).collect();
    let basic = out.len() as u32;
    let total = text.chars().count() as u32;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut done) = (FIRST, 0u32, 72, basic);
    while done < total {
        let next = text.chars().map(u32::from).filter(|c| *c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(done + 1)?)?;
        n = next;
        for c in text.chars().map(u32::from) {
            if c < n {
                delta = delta.checked_add(1)?;
            }
            if c == n {
                let (mut q, mut k) = (delta, BASE);
                loop {
                    let t = threshold(k, bias);
                    if q < t {
                        break;
                    }
                    out.push(digit(t + (q - t) % (BASE - t)));
                    q = (q - t) / (BASE - t);
                    k += BASE;
                }
                out.push(digit(q));
                bias = adapt(delta, done + 1, done == basic);
                delta = 0;
                done += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(out)
}

fn digit(d: u32) -> char {
    char::from_digit(if d < 26 { d + 10 } else { d - 26 }, BASE).unwrap_or('?')
}

fn decode(code: &str) -> Option<String> {
    let (basic, rest) = code.rsplit_once('-').unwrap_or(("", code));
    let mut out: Vec<char> = basic.chars().collect();
    let (mut n, mut i, mut bias) = (FIRST, 0u32, 72);
    let mut digits = rest.chars();
    while !digits.as_str().is_empty() {
        let (before, mut weight, mut k) = (i, 1u32, BASE);
        loop {
            let d = digits.next()?.to_ascii_lowercase();
            let d = d.to_digit(BASE).filter(|_| d.is_ascii())?;
            let d = if d >= 10 { d - 10 } else { d + 26 };
            i = i.checked_add(d.checked_mul(weight)?)?;
            let t = threshold(k, bias);
            if d < t {
                break;
            }
            weight = weight.checked_mul(BASE - t)?;
            k += BASE;
        }
        let points = out.len() as u32 + 1;
        bias = adapt(i - before, points, before == 0);
        n = n.checked_add(i / points)?;
        i %= points;
        out.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(out.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        // RFC 3492 7.1 and well-known names.
        for (text, wire) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER", "xn--bcher-kva"),
            ("bu\u{308}cher", "xn--bcher-kva"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"),
            ("почемужеонинеговорятпорусски", "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("plain.example", "plain.example"),
        ] {
            assert_eq!(to_wire(text).as_deref(), Ok(wire), "{text}");
        }
        assert_eq!(shown("xn--bcher-kva.example. 300 IN A 1.2.3.4"), "bücher.example. 300 IN A 1.2.3.4");
        for stays in ["xn--", "xn---", "xn--a", "xn--99999999", "xn--bcher-kva1", "xn--ls8h", "xn--\u{fc}"] {
            assert_eq!(shown(stays), stays);
        }
        for bad in ["bü cher", "a\u{202e}b", "bü@x", &"ü".repeat(64)] {
            assert!(to_wire(bad).is_err(), "{bad}");
        }
    }
}
