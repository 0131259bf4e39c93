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
fn labels(name: &[u8]) -> bool {
    let mut begins = true;
    for &byte in name {
        let is_dot = byte == b'.';
        if is_dot && begins {
            return false;
        }
        begins = is_dot;
    }
    !begins && marks::host(name) == name.len()
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_port(port: &[u8]) -> bool {
    matches!(port, [b'1'..=b'9', rest @ ..] if rest.len() < 5 && rest.iter().all(u8::is_ascii_digit))
        && std::str::from_utf8(port).is_ok_and(|text| text.parse::<u16>().is_ok())
}
