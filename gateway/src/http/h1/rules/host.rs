//! What a `Host` may look like.
use std::net::Ipv6Addr;

use super::super::limits;
use super::super::malformed::Malformed;
use super::super::marks::{HOST_BLOCK, HostMarks};

/// What is told of a host that keeps the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Bytes of its name: without port, and without a dot at its end.
    pub(crate) name: usize,
    /// Whether a letter of the name is a capital.
    pub(crate) capitals: bool,
}

/// Checks a host with an optional port: a DNS name (underscores allowed), an IPv4 or a bracketed IPv6 address.
pub(crate) fn check(host: &[u8]) -> Result<Judged, Malformed> {
    let (judged, end) = match host {
        [b'[', rest @ ..] => literal(rest),
        _ => name(host),
    }
    .ok_or(Malformed::Host)?;
    match host.get(end..) {
        Some([]) => Ok(judged),
        Some([b':', port @ ..]) if is_port(port) => Ok(judged),
        _ => Err(Malformed::Host),
    }
}

/// A name, and where it ends: labels with one dot between two of them.
fn name(host: &[u8]) -> Option<(Judged, usize)> {
    let (mut end, mut capitals, mut behind_dot) = (0, false, true);
    for block in host.chunks(HOST_BLOCK) {
        let marks = HostMarks::of(block);
        let length = (marks.fit.trailing_ones() as usize).min(block.len());
        if length == 0 {
            break;
        }
        let dots = marks.dots & here(length);
        if dots & (dots << 1 | u64::from(behind_dot)) != 0 {
            return None;
        }
        capitals |= marks.capitals & here(length) != 0;
        behind_dot = dots >> (length - 1) == 1;
        end += length;
        if length < block.len() {
            break;
        }
    }
    let name = end - usize::from(end > 0 && behind_dot);
    let fits = (1..=limits::HOST_BYTES).contains(&name);
    fits.then_some((Judged { name, capitals }, end))
}

/// A bit for each of the first bytes of a block.
const fn here(length: usize) -> u64 {
    u64::MAX >> (u64::BITS as usize - length)
}

/// The address that `rest` begins with, behind a bracket.
fn literal(rest: &[u8]) -> Option<(Judged, usize)> {
    let close = rest.iter().position(|&b| b == b']')?;
    let address = rest.get(..close)?;
    let (name, capitals) = (close + 2, address.iter().any(u8::is_ascii_uppercase));
    is_ipv6(address).then_some((Judged { name, capitals }, name))
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_port(port: &[u8]) -> bool {
    matches!(port, [b'1'..=b'9', rest @ ..] if rest.len() < 5 && rest.iter().all(u8::is_ascii_digit))
        && std::str::from_utf8(port).is_ok_and(|text| text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests;
