//! The line that a head begins with.
use super::grammar;
use super::head::Version;
use super::malformed::Malformed;
use super::rules;
use super::scan::Span;

/// Splits a request line at its first and its last space.
pub(crate) fn request_line(line: &[u8]) -> Result<(Span, Span, Span), Malformed> {
    let is_space = |&byte: &u8| byte == b' ';
    let first = line.iter().position(is_space).ok_or(Malformed::RequestLine)?;
    let last = match line {
        // The usual end has no other space in it.
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'] => line.len() - 9,
        _ => line.iter().rposition(is_space).ok_or(Malformed::RequestLine)?,
    };
    if first == last {
        return Err(Malformed::RequestLine);
    }
    Ok((Span::new(0, first), Span::new(first + 1, last), Span::new(last + 1, line.len())))
}

/// Reads `HTTP/1.1 200 words`; the space behind the status may be missing.
pub(crate) fn status_line(line: &[u8]) -> Result<(Version, u16, Span), Malformed> {
    let (version, rest) = line.split_at_checked(8).ok_or(Malformed::StatusLine)?;
    let version = rules::version(version)?;
    let [b' ', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', words @ ..] = rest else {
        return Err(Malformed::StatusLine);
    };
    if !matches!(words, [] | [b' ', ..]) || !grammar::is_text(words) {
        return Err(Malformed::StatusLine);
    }
    let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    if !(100..600).contains(&status) {
        return Err(Malformed::Status);
    }
    Ok((version, status, Span::new(line.len().min(13), line.len())))
}

/// The request line of the origin form.
pub(crate) fn origin_line(method: &[u8], rest: &[u8], version: Version) -> Vec<u8> {
    let lead: &[u8] = match rest.first() {
        None if method == b"OPTIONS" => b"*",
        Some(b'/') => b"",
        _ => b"/",
    };
    let version: &[u8] = match version {
        Version::Http10 => b" HTTP/1.0",
        Version::Http11 => b" HTTP/1.1",
    };
    [method, b" ", lead, rest, version].concat()
}
