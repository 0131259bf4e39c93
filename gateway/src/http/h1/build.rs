//! Makes heads from names and values: what came over HTTP/2, and what the gateway says itself.
//!
//! The head is written out and read by the same scanner and rules as one from the wire, so there is one truth.
use super::edit;
use super::grammar;
use super::head::{Asked, Block, Body, RequestHead, ResponseHead};
use super::limits;
use super::malformed::Malformed;
use super::rules;
use super::scan::{self, Kind, Scanner};

/// A request that came over HTTP/2, or is our own.
#[derive(Debug)]
pub struct RequestBuilder {
    bytes: Vec<u8>,
    authority: Vec<u8>,
    cookie: Vec<u8>,
    crumbs: usize,
}

impl RequestBuilder {
    /// Begins with the pseudo fields: method, path with query, authority.
    pub fn new(method: &str, target: &str, authority: &str) -> Result<Self, Malformed> {
        rules::check_method(method.as_bytes())?;
        if !matches!(
            rules::form(method.as_bytes(), target.as_bytes())?,
            rules::Form::Origin | rules::Form::Asterisk
        ) {
            return Err(Malformed::Target);
        }
        rules::check_host(authority.as_bytes())?;
        let mut bytes = Vec::with_capacity(512);
        for part in [method, " ", target, " HTTP/1.1\r\nhost: ", authority, "\r\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        Ok(Self { bytes, authority: authority.as_bytes().to_vec(), cookie: Vec::new(), crumbs: 0 })
    }

    /// One field more. `host` must be the authority; fields of a connection are an error; cookies become one line.
    pub fn field(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        check_field(name, value)?;
        match Kind::of(name.as_bytes()) {
            Kind::Host if value.eq_ignore_ascii_case(&self.authority) => return Ok(()),
            Kind::Host => return Err(Malformed::HostDiffers),
            Kind::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(Malformed::FieldOfConnection);
            }
            Kind::Te => {}
            kind if kind.is_hop() => return Err(Malformed::FieldOfConnection),
            _ => {}
        }
        if self.bytes.len() + self.cookie.len() + name.len() + value.len() > limits::HEAD_BYTES {
            return Err(Malformed::HeadTooLarge);
        }
        if name.eq_ignore_ascii_case("cookie") {
            return self.crumb(value);
        }
        edit::line(name.as_bytes(), grammar::trim(value), &mut self.bytes);
        Ok(())
    }

    fn crumb(&mut self, value: &[u8]) -> Result<(), Malformed> {
        self.crumbs += 1;
        if self.crumbs > limits::COOKIE_CRUMBS {
            return Err(Malformed::TooManyFields);
        }
        if !self.cookie.is_empty() {
            self.cookie.extend_from_slice(b"; ");
        }
        self.cookie.extend_from_slice(grammar::trim(value));
        Ok(())
    }

    /// Ends the head. `ended`: no body follows; otherwise it has the announced length, or comes in chunks.
    pub fn finish(mut self, ended: bool) -> Result<RequestHead, Malformed> {
        if self.crumbs > 0 {
            edit::line(b"cookie", &self.cookie, &mut self.bytes);
        }
        self.bytes.extend_from_slice(b"\r\n");
        let scanned = Scanner::default().scan(&self.bytes)?.ok_or(Malformed::RequestLine)?;
        let mut head = RequestHead::judge(&self.bytes, scanned)?;
        let body = body(head.body(), ended, head.header("content-length").is_some())?;
        head.set_body(body);
        Ok(head)
    }
}

/// The framing of a body that came over HTTP/2.
fn body(announced: Body, ended: bool, has_length: bool) -> Result<Body, Malformed> {
    match announced {
        Body::Length(_) if ended => Err(Malformed::Length),
        Body::Length(length) => Ok(Body::Length(length)),
        _ if ended || has_length => Ok(Body::None),
        _ => Ok(Body::Chunked),
    }
}

impl ResponseHead {
    /// The answer to `asked` that came over HTTP/2. `ended`: no body follows.
    pub fn of_fields<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        asked: Asked,
        ended: bool,
    ) -> Result<Self, Malformed> {
        let mut bytes = start(status);
        for (name, value) in fields {
            check_field(name, value)?;
            if Kind::of(name.as_bytes()).is_hop() || status == 101 {
                return Err(Malformed::FieldOfConnection);
            }
            if bytes.len() + name.len() + value.len() > limits::HEAD_BYTES {
                return Err(Malformed::HeadTooLarge);
            }
            edit::line(name.as_bytes(), grammar::trim(value), &mut bytes);
        }
        let mut head = read(bytes, asked)?;
        let without = head.is_interim() || asked.head || matches!(status, 204 | 304);
        if !without {
            let has_length = head.header("content-length").is_some();
            let announced =
                if head.body() == Body::UntilClose { Body::Chunked } else { head.body() };
            head.set_body(body(announced, ended, has_length)?);
        }
        Ok(head)
    }

    /// An answer of our own with a body of this length.
    pub fn local<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        length: usize,
    ) -> Result<Self, Malformed> {
        let mut bytes = start(status);
        for (name, value) in fields {
            check_field(name, value)?;
            edit::line(name.as_bytes(), grammar::trim(value), &mut bytes);
        }
        if status >= 200 && !matches!(status, 204 | 304) {
            bytes.extend_from_slice(b"content-length: ");
            edit::number(length as u64, &mut bytes);
            bytes.extend_from_slice(b"\r\n");
        }
        read(bytes, Asked::default())
    }
}

impl Block {
    /// Trailers from names and values; those that may not be trailers are left out.
    pub fn trailers<'a>(
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Malformed> {
        let mut block = Self::default();
        for (name, value) in fields {
            check_field(name, value)?;
            if !rules::may_be_trailer(name.as_bytes()) {
                continue;
            }
            let at = block.bytes.len();
            edit::line(name.as_bytes(), grammar::trim(value), &mut block.bytes);
            let line = block.bytes.get(at..block.bytes.len() - 2).unwrap_or_default();
            let field = scan::checked_field(line, at)?;
            block.fields.push(field);
            if block.bytes.len() > limits::TRAILER_BYTES
                || block.fields.len() > limits::TRAILER_FIELDS
            {
                return Err(Malformed::TrailerTooLarge);
            }
        }
        Ok(block)
    }
}

fn start(status: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(b"HTTP/1.1 ");
    edit::number(u64::from(status), &mut bytes);
    bytes.push(b' ');
    let words =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    bytes.extend_from_slice(words.unwrap_or_default().as_bytes());
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn read(mut bytes: Vec<u8>, asked: Asked) -> Result<ResponseHead, Malformed> {
    bytes.extend_from_slice(b"\r\n");
    let scanned = Scanner::default().scan(&bytes)?.ok_or(Malformed::StatusLine)?;
    ResponseHead::judge(&bytes, scanned, asked)
}

fn check_field(name: &str, value: &[u8]) -> Result<(), Malformed> {
    if !grammar::is_token(name.as_bytes()) {
        return Err(Malformed::FieldName);
    }
    if grammar::is_text(value) { Ok(()) } else { Err(Malformed::FieldValue) }
}

#[cfg(test)]
mod tests;
