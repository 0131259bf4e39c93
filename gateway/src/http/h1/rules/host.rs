//! What a `Host` may look like.
use std::net::Ipv6Addr;

use super::super::limits;
use super::super::malformed::Malformed;
use super::super::marks;

/// Checks a host with an optional port: a DNS name (underscores allowed), an IPv4 or a bracketed IPv6 address.
pub(crate) fn check(host: &[u8]) -> Result<(), Malformed> {
    let (name, port) = split(host).ok_or(Malformed::Host)?;
    let valid = match name {
        [b'[', address @ .., b']'] => is_ipv6(address),
        _ => is_name(name),
    };
    if valid && port.is_none_or(is_port) { Ok(()) } else { Err(Malformed::Host) }
}

/// A name and perhaps a port.
type Parts<'a> = (&'a [u8], Option<&'a [u8]>);

/// Splits off the port at the only colon, or at the one behind a bracket.
fn split(host: &[u8]) -> Option<Parts<'_>> {
    if host.first() == Some(&b'[') {
        let close = host.iter().position(|&b| b == b']')?;
        let (name, rest) = host.split_at_checked(close + 1)?;
        return match rest {
            [] => Some((name, None)),
            [b':', port @ ..] => Some((name, Some(port))),
            _ => None,
        };
    }
    match host.iter().position(|&b| b == b':') {
        None => Some((host, None)),
        Some(colon) => Some((host.get(..colon)?, host.get(colon + 1..))),
    }
}

fn is_name(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".").unwrap_or(name);
    name.len() <= limits::HOST_BYTES && labels(name)
}

/// Whether there is nothing but labels with one dot between two of them.
fn labels(mut name: &[u8]) -> bool {
    loop {
        let mut end = marks::words(name);
        while name.get(end) == Some(&b'_') {
            end += 1;
            end += marks::words(name.get(end..).unwrap_or_default());
        }
        match name.get(end..) {
            _ if end == 0 => return false,
            Some([b'.', rest @ ..]) => name = rest,
            rest => return rest.is_some_and(<[u8]>::is_empty),
        }
    }
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_port(port: &[u8]) -> bool {
    matches!(port, [b'1'..=b'9', rest @ ..] if rest.len() < 5 && rest.iter().all(u8::is_ascii_digit))
        && std::str::from_utf8(port).is_ok_and(|text| text.parse::<u16>().is_ok())
}
