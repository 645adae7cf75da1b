//! From a request target to the path of a file beneath the root (RFC 3986 5.2.4, RFC 9112 3.2).
//!
//! Decoded once. What could be read in two ways is not served: an encoded separator or a backslash inside a name finds
//! nothing, and whatever leaves the root in either reading is forbidden. The driver's `beneath` is the second guard.
use std::borrow::Cow;

/// What a target asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target<'t> {
    /// Relative to the root, without `.`, `..` and empty names; empty for the root itself.
    pub path: Cow<'t, str>,
    /// It ends with a slash: a directory is meant.
    pub slash: bool,
    /// What follows the first `?`, with it; empty if there is none.
    pub query: &'t str,
}

/// Why a target names no file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// `%` without two hex digits, or a NUL: 400.
    Malformed,
    /// It leaves the root: 403.
    Escapes,
    /// No file can have this name, or it is hidden: 404.
    Nothing,
}

impl Bad {
    /// What the client hears.
    pub fn status(self) -> u16 {
        match self {
            Bad::Malformed => 400,
            Bad::Escapes => 403,
            Bad::Nothing => 404,
        }
    }
}

/// Names that begin with a dot and are public all the same (RFC 8615).
const PUBLIC: &str = ".well-known";

/// Finds the path in a target of origin form or absolute form. Names that begin with a dot are hidden unless `dotfiles`.
///
/// # Errors
/// [`Bad`], the gravest that applies.
pub fn resolve(target: &str, dotfiles: bool) -> Result<Target<'_>, Bad> {
    let target = origin(target);
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let path = path.strip_prefix('/').ok_or(Bad::Malformed)?;
    if is_plain(path) {
        let name = path.strip_suffix('/').unwrap_or(path);
        return Ok(Target { path: Cow::Borrowed(name), slash: name.len() < path.len() || path.is_empty(), query });
    }
    let (path, slash) = walk(path, dotfiles)?;
    Ok(Target { path: Cow::Owned(path), slash, query })
}

/// Without scheme and authority.
fn origin(target: &str) -> &str {
    if target.starts_with('/') {
        return target;
    }
    let rest = target.split_once("://").map_or("", |(_, rest)| rest);
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => &rest[at..],
        _ => "/",
    }
}

/// The authority of a target in absolute form, which counts instead of `Host` (RFC 9112 3.2.2).
pub fn authority(target: &str) -> Option<&[u8]> {
    if target.starts_with('/') {
        return None;
    }
    let (_, rest) = target.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    Some(authority.rsplit('@').next().unwrap_or(authority).as_bytes())
}

/// Nothing to decode, to resolve or to hide.
fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    path.bytes().all(|b| {
        let odd = matches!(b, b'%' | b'\\') || before == b'/' && matches!(b, b'/' | b'.');
        before = b;
        !odd
    })
}

fn walk(path: &str, dotfiles: bool) -> Result<(String, bool), Bad> {
    let mut names: Vec<String> = Vec::new();
    // As deep as the most generous reading would be, which takes encoded separators and backslashes for separators.
    let mut depth = 0_usize;
    let (mut escapes, mut nothing, mut slash) = (false, false, true);
    for raw in path.split('/') {
        let bytes = decode(raw).ok_or(Bad::Malformed)?;
        for part in bytes.split(|b| matches!(b, b'/' | b'\\')) {
            match part {
                b"" | b"." => {}
                b".." if depth == 0 => escapes = true,
                b".." => depth -= 1,
                _ => depth += 1,
            }
        }
        slash = matches!(&*bytes, b"" | b"." | b"..");
        match &*bytes {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => match core::str::from_utf8(name) {
                Ok(name) if !name.contains(['/', '\\']) => names.push(name.into()),
                _ => nothing = true,
            },
        }
    }
    if escapes {
        return Err(Bad::Escapes);
    }
    let hidden = |name: &String| name.starts_with('.') && name != PUBLIC;
    if nothing || !dotfiles && names.iter().any(hidden) {
        return Err(Bad::Nothing);
    }
    Ok((names.join("/"), slash))
}

/// `None` for `%` without two hex digits, and for NUL.
fn decode(raw: &str) -> Option<Cow<'_, [u8]>> {
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw.as_bytes()));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let mut b = *first;
        if b == b'%' {
            let ([high, low], after) = after.split_first_chunk::<2>()?;
            b = hex(*high)? << 4 | hex(*low)?;
            rest = after;
        }
        if b == 0 {
            return None;
        }
        out.push(b);
    }
    Some(Cow::Owned(out))
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// A path for a `Location` or a link: everything encoded that is not plain in every part of a URL.
pub fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for b in path.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
