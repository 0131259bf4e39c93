//! What makes a message acceptable: framing, options of the connection, protected names.
mod host;
mod target;

pub(crate) use host::check as check_host;
pub(crate) use target::{Form, form};

use super::grammar;
use super::head::{Block, Body, Version};
use super::limits;
use super::malformed::Malformed;
use super::scan::{Kind, Span};

/// Fields on which others rely, beside those of a kind of their own: a peer can neither have them
/// dropped nor imitate them.
const PROTECTED: [&[u8]; 2] = [b"authorization", b"tracestate"];

/// Whether a field may not be taken away by `Connection`.
fn is_protected(name: &[u8]) -> bool {
    use Kind::{ContentLength, Host, Id, Origin, Trace};
    matches!(Kind::of(name), ContentLength | Host | Id | Origin | Trace)
        || PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected))
}

/// Whether a server that reads `_` as `-` would take the name for one that matters.
pub(crate) fn imitates_protected(name: &[u8]) -> bool {
    if name.len() > limits::HOST_BYTES {
        return true;
    }
    let mut plain = [0_u8; limits::HOST_BYTES];
    let Some(plain) = plain.get_mut(..name.len()) else { return true };
    for (to, &from) in plain.iter_mut().zip(name) {
        *to = if from == b'_' { b'-' } else { from };
    }
    // Those of framing and of the connection must not be imitated either.
    is_protected(plain) || !Kind::of(plain).is_free()
}

/// What `Connection` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a list may state any of them")]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Some field is named that ends here.
    pub(crate) nominates: bool,
}

impl Options {
    fn add(&mut self, value: &[u8], count: &mut usize) -> Result<(), Malformed> {
        for option in grammar::list(value) {
            *count += 1;
            if *count > limits::CONNECTION_OPTIONS || !grammar::is_token(option) {
                return Err(Malformed::Connection);
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if is_protected(option) {
                return Err(Malformed::ConnectionProtected);
            } else if !Kind::of(option).is_hop() {
                self.nominates = true;
            }
        }
        Ok(())
    }

    /// Whether another message may follow.
    pub(crate) const fn keeps_alive(self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
        }
    }
}

/// What the fields of a head say about framing and connection, each at most once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) host: Option<Span>,
    length: Option<Span>,
    encoding: Option<Span>,
    pub(crate) options: Options,
    pub(crate) upgrade: Option<Span>,
    upgrades: u8,
    pub(crate) expect: Option<Span>,
    pub(crate) expects: u8,
}

impl Facts {
    /// Collects them; whatever may stand once stands once.
    #[inline(never)]
    pub(crate) fn gather(&mut self, block: &Block) -> Result<(), Malformed> {
        let mut options = 0;
        for field in &block.fields {
            match field.kind {
                Kind::Plain | Kind::Hop | Kind::Te | Kind::Id | Kind::Trace | Kind::Origin => {}
                Kind::Host => once(&mut self.host, field.value, Malformed::HostRepeated)?,
                Kind::ContentLength => {
                    once(&mut self.length, field.value, Malformed::LengthRepeated)?;
                }
                Kind::TransferEncoding => {
                    once(&mut self.encoding, field.value, Malformed::EncodingRepeated)?;
                }
                Kind::Connection => {
                    self.options.add(field.value.of(&block.bytes), &mut options)?;
                }
                Kind::Upgrade => {
                    self.upgrade = Some(field.value);
                    self.upgrades += 1;
                }
                Kind::Expect => {
                    self.expect = Some(field.value);
                    self.expects += 1;
                }
            }
        }
        Ok(())
    }

    /// The framing that the fields announce; `None` if they announce none.
    pub(crate) fn framing(
        &self,
        block: &Block,
        version: Version,
    ) -> Result<Option<Body>, Malformed> {
        let length = match self.length {
            Some(span) => Some(grammar::length(span.of(&block.bytes)).ok_or(Malformed::Length)?),
            None => None,
        };
        let Some(encoding) = self.encoding else {
            return Ok(length.map(|n| if n == 0 { Body::None } else { Body::Length(n) }));
        };
        if length.is_some() {
            return Err(Malformed::LengthWithEncoding);
        }
        if version == Version::Http10 {
            return Err(Malformed::EncodingInOld);
        }
        let encoding = encoding.of(&block.bytes);
        if encoding.eq_ignore_ascii_case(b"chunked") {
            return Ok(Some(Body::Chunked));
        }
        Err(if is_served_elsewhere(encoding) {
            Malformed::EncodingUnsupported
        } else {
            Malformed::Encoding
        })
    }

    /// Whether the fields offer or confirm exactly `websocket`.
    pub(crate) fn is_websocket(&self, block: &Block) -> bool {
        self.options.upgrade
            && self.upgrades == 1
            && self
                .upgrade
                .is_some_and(|span| span.of(&block.bytes).eq_ignore_ascii_case(b"websocket"))
    }

    /// Whether a body is waited for by the sender. Anything but `100-continue` is an error.
    pub(crate) fn expects_continue(&self, block: &Block) -> Result<bool, Malformed> {
        match self.expect {
            None => Ok(false),
            Some(span)
                if self.expects == 1
                    && span.of(&block.bytes).eq_ignore_ascii_case(b"100-continue") =>
            {
                Ok(true)
            }
            Some(_) => Err(Malformed::Expectation),
        }
    }

    /// Whether a length or an encoding is announced at all.
    pub(crate) const fn announces_encoding(&self) -> bool {
        self.encoding.is_some()
    }
}

fn once(slot: &mut Option<Span>, value: Span, error: Malformed) -> Result<(), Malformed> {
    if slot.replace(value).is_some() { Err(error) } else { Ok(()) }
}

/// Registered codings with `chunked` once and last: honest, but not ours.
fn is_served_elsewhere(encoding: &[u8]) -> bool {
    const CODINGS: [&[u8]; 5] = [b"compress", b"deflate", b"gzip", b"x-compress", b"x-gzip"];
    let mut members = encoding.split(|&b| b == b',').map(grammar::trim).rev();
    members.next().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
        && members.all(|member| CODINGS.iter().any(|coding| member.eq_ignore_ascii_case(coding)))
}

/// Judges a method. One that is a look-alike of `HEAD`, `CONNECT` or `TRACE` in other case has a framing that
/// depends on who reads it.
pub(crate) fn check_method(method: &[u8]) -> Result<(), Malformed> {
    if matches!(method, b"GET" | b"POST" | b"PUT" | b"HEAD" | b"DELETE" | b"PATCH" | b"OPTIONS") {
        return Ok(());
    }
    if method.len() > limits::METHOD_BYTES || !grammar::is_token(method) {
        return Err(Malformed::Method);
    }
    let denied = method.eq_ignore_ascii_case(b"CONNECT")
        || method.eq_ignore_ascii_case(b"TRACE")
        || (method.eq_ignore_ascii_case(b"HEAD") && method != b"HEAD");
    if denied { Err(Malformed::MethodDenied) } else { Ok(()) }
}

/// Reads `HTTP/1.0` or `HTTP/1.1`.
pub(crate) fn version(bytes: &[u8]) -> Result<Version, Malformed> {
    match bytes {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Malformed::VersionUnsupported)
        }
        _ => Err(Malformed::Version),
    }
}

/// Whether a trailer of this name is passed on: nothing that frames, routes, authenticates, conditions or
/// describes the content, because the head has been acted upon already.
pub(crate) fn may_be_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&[u8]; 29] = [
        b"age",
        b"allow",
        b"cache-control",
        b"cookie",
        b"date",
        b"expect",
        b"expires",
        b"host",
        b"location",
        b"max-forwards",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"trailer",
        b"vary",
        b"warning",
        b"www-authenticate",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-range",
        b"http2-settings",
        b"authentication-info",
        b"tracestate",
        b"accept-ranges",
        b"via",
        b"from",
    ];
    const FAMILIES: [&[u8]; 6] =
        [b"content-", b"proxy-", b"sec-", b"access-control-", b"strict-", b"x-spanway-"];
    !(!Kind::of(name).is_free()
        || is_protected(name)
        || FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        || FAMILIES.iter().any(|family| grammar::starts_with_ignore_case(name, family)))
}
