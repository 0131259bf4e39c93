//! A parsed head, and what the request path may ask of it.
use super::first_line::{origin_line, request_line, status_line};
use super::grammar;
use super::malformed::Malformed;
use super::rules::{self, Facts, Form};
use super::scan::{Field, Kind, Scanned, Seen, Span};

/// The two versions that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// No chunks, one message for each connection unless both sides ask for more.
    Http10,
    /// What is written to every peer.
    Http11,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes, never 0.
    Length(u64),
    /// Chunks, with trailers perhaps.
    Chunked,
    /// Everything until the connection ends; answers only.
    UntilClose,
}

/// Field lines with their raw bytes: of a head (behind its first line) or of a trailer section.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    pub(crate) seen: Seen,
}

impl Block {
    /// Where the fields of a head begin: behind its first line.
    pub(crate) fn fields_begin(&self) -> u32 {
        let behind = Span::new(0, self.bytes.len().saturating_sub(b"\r\n".len()));
        self.fields.first().map_or(behind.end, |field| field.name.start)
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All fields in order, as name and value without the spaces around it.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|field| (text(field.name.of(&self.bytes)), field.value.of(&self.bytes)))
    }

    /// The values of the fields with this name, in any case, in order.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.named(name).map(|field| field.value.of(&self.bytes))
    }

    /// The first of them.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.headers(name).next()
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> + 'a {
        let length = name.len();
        self.fields.iter().filter(move |field| {
            (field.name.end - field.name.start) as usize == length
                && grammar::same(field.name.of(&self.bytes), name.as_bytes())
        })
    }

    /// Whether `Connection` names this field; asked only where it names any.
    pub(crate) fn nominates(&self, name: &[u8]) -> bool {
        self.fields
            .iter()
            .filter(|field| field.kind == Kind::Connection)
            .flat_map(|field| grammar::list(field.value.of(&self.bytes)))
            .any(|option| option.eq_ignore_ascii_case(name))
    }
}

/// A request that keeps every rule. Both versions of HTTP end in this type.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct RequestHead {
    pub(crate) block: Block,
    method: Span,
    target: Span,
    host: Span,
    /// Of the host, without its port and a dot at its end.
    name: Span,
    capitals: bool,
    version: Version,
    body: Body,
    pub(crate) nominates: bool,
    keep_alive: bool,
    websocket: bool,
    expects_continue: bool,
    /// The same as it was read over HTTP/2, if it may go on so.
    pub(crate) parts: Option<Box<http::request::Parts>>,
}

impl RequestHead {
    /// Judges what a scan found in `input`.
    pub(crate) fn judge(input: &[u8], scanned: Scanned) -> Result<Self, Malformed> {
        let bytes = input.get(scanned.start..scanned.end).unwrap_or_default().to_vec();
        let block = Block { bytes, fields: scanned.fields, seen: scanned.seen };
        let line = scanned.first.of(&block.bytes);
        let (method, target, version) = request_line(line)?;
        rules::check_method(method.of(line))?;
        let version = rules::version(version.of(line))?;
        let form = rules::form(method.of(line), target.of(line))?;
        let mut facts = Facts::default();
        facts.gather(&block)?;
        let host = facts.host.ok_or(Malformed::HostMissing)?;
        let judged = rules::check_host(host.of(&block.bytes))?;
        let start = host.start as usize;
        let body = facts.framing(&block, version)?.unwrap_or(Body::None);
        let websocket = version == Version::Http11 && facts.is_websocket(&block);
        if websocket && (body != Body::None || method.of(line) != b"GET") {
            return Err(Malformed::Upgrade);
        }
        let expects = facts.expects_continue(&block)?;
        if let Form::Absolute { authority, rest } = form {
            if !authority.eq_ignore_ascii_case(host.of(&block.bytes)) {
                return Err(Malformed::HostDiffers);
            }
            let line = origin_line(method.of(line), rest, version);
            return reread(&line, scanned.first, &block);
        }
        Ok(Self {
            method,
            target,
            host,
            name: Span::new(start, start + judged.name),
            capitals: judged.capitals,
            version,
            body,
            nominates: facts.options.nominates,
            keep_alive: facts.options.keeps_alive(version),
            websocket,
            expects_continue: expects && version == Version::Http11 && body != Body::None,
            block,
            parts: None,
        })
    }

    /// The method and the target as they stand in the head.
    pub(crate) fn asked_for(&self) -> (&[u8], &[u8]) {
        (self.method.of(&self.block.bytes), self.target.of(&self.block.bytes))
    }

    /// The method, case as sent.
    pub fn method(&self) -> &str {
        text(self.method_bytes())
    }

    /// The same as bytes: to show that they are text takes as long as most questions about them.
    pub(crate) fn method_bytes(&self) -> &[u8] {
        self.method.of(&self.block.bytes)
    }

    /// Path and query in origin form, or `*`.
    pub fn target(&self) -> &str {
        text(self.target.of(&self.block.bytes))
    }

    /// The path as sent: neither decoded nor normalised.
    pub fn path(&self) -> &str {
        text(self.path_bytes())
    }

    /// The same as bytes.
    pub(crate) fn path_bytes(&self) -> &[u8] {
        let target = self.target.of(&self.block.bytes);
        memchr::memchr(b'?', target).and_then(|at| target.get(..at)).unwrap_or(target)
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&str> {
        let target = self.target();
        memchr::memchr(b'?', target.as_bytes()).and_then(|at| target.get(at + 1..))
    }

    /// `Host` as sent, with its port; compare without regard to case.
    pub fn host(&self) -> &str {
        text(self.host.of(&self.block.bytes))
    }

    /// The same as bytes.
    pub(crate) fn host_bytes(&self) -> &[u8] {
        self.host.of(&self.block.bytes)
    }

    /// The host without port and without a dot at its end; an IPv6 address keeps its brackets.
    pub fn host_name(&self) -> &[u8] {
        self.name.of(&self.block.bytes)
    }

    /// Whether there are capitals in it: routing tables have none.
    pub(crate) const fn has_capitals(&self) -> bool {
        self.capitals
    }

    /// The port in `Host`, if there is one.
    pub fn host_port(&self) -> Option<u16> {
        let (_, port) = self.host().rsplit_once(':')?;
        port.parse().ok()
    }

    /// The version that the client speaks.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// How the body is framed.
    pub const fn body(&self) -> Body {
        self.body
    }

    /// Whether the client wants to send another request on this connection.
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client asks to speak `websocket`. Any other upgrade is left out silently.
    pub const fn is_websocket(&self) -> bool {
        self.websocket
    }

    /// Whether the client waits for an interim answer before it sends the body.
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether trailers are welcome in the answer.
    pub fn accepts_trailers(&self) -> bool {
        self.block.seen.has(Kind::Te)
            && self
                .headers("te")
                .any(|value| grammar::list(value).any(|m| m.eq_ignore_ascii_case(b"trailers")))
    }

    /// All fields as sent, hop-by-hop ones included.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.block.fields()
    }

    /// Name and value of the fields of a kind, in order.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&str, &[u8])> {
        let Block { bytes, fields, seen } = &self.block;
        // Mostly there is none.
        let fields = if seen.has(kind) { &**fields } else { &[] };
        let fields = fields.iter().filter(move |field| field.kind == kind);
        fields.map(|field| (text(field.name.of(bytes)), field.value.of(bytes)))
    }

    /// The fields that go on to the next hop, `host` and `expect` included: what a translation to HTTP/2 reads.
    pub fn end_to_end(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        end_to_end(&self.block, self.nominates)
    }

    /// The first value of a field.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.block.header(name)
    }

    /// All values of a field.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.block.headers(name)
    }

    fn is_head(&self) -> bool {
        self.method_bytes() == b"HEAD"
    }

    /// What the reader of the answer has to know of the question.
    pub fn asked(&self) -> Asked {
        Asked {
            head: self.is_head(),
            websocket: self.websocket,
            expects_continue: self.expects_continue,
        }
    }

    /// What the writer of the answer has to know of the question.
    pub fn reply_to(&self) -> ReplyTo {
        ReplyTo { version: self.version, head: self.is_head(), keep_alive: self.keep_alive }
    }

    /// Marks the head as one whose body has this framing; for a head that came over HTTP/2.
    pub(crate) const fn set_body(&mut self, body: Body) {
        self.body = body;
    }
}

/// The part of a request that decides how its answer is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method was `HEAD`: no body, whatever is announced.
    pub head: bool,
    /// 101 is allowed.
    pub websocket: bool,
    /// 100 is of interest.
    pub expects_continue: bool,
}

/// The part of a request that decides how its answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// A client of 1.0 gets neither chunks nor interim answers.
    pub version: Version,
    /// The method was `HEAD`: no body is sent.
    pub head: bool,
    /// Whether the connection stays open behind the answer.
    pub keep_alive: bool,
}

impl ReplyTo {
    /// The same, but the connection closes behind the answer.
    #[must_use]
    pub const fn closing(self) -> Self {
        Self { keep_alive: false, ..self }
    }

    /// For an answer to what could not be read.
    pub const fn unread() -> Self {
        Self { version: Version::Http11, head: false, keep_alive: false }
    }
}

/// Bytes of `HTTP/1.1 200 `: where the words begin, unless the last space is missing.
const STATUS_LINE_LEAD: u32 = 13;

/// An answer that keeps every rule.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    pub(crate) block: Block,
    status: u16,
    reason: Span,
    body: Body,
    version: Version,
    pub(crate) nominates: bool,
    keep_alive: bool,
    /// The fields as they were read over HTTP/2, if they may go on so.
    pub(crate) map: Option<Box<http::HeaderMap>>,
}

impl ResponseHead {
    /// Judges what a scan found in `input` as the answer to `asked`.
    pub(crate) fn judge(input: &[u8], scanned: Scanned, asked: Asked) -> Result<Self, Malformed> {
        let bytes = input.get(scanned.start..scanned.end).unwrap_or_default().to_vec();
        let block = Block { bytes, fields: scanned.fields, seen: scanned.seen };
        let (version, status, reason) = status_line(scanned.first.of(&block.bytes))?;
        let mut facts = Facts::default();
        facts.gather(&block)?;
        let framing = facts.framing(&block, version)?;
        let body = answer_body(status, framing, asked, facts.announces_encoding())?;
        if status == 101 && !(asked.websocket && facts.is_websocket(&block)) {
            return Err(Malformed::Switch);
        }
        Ok(Self {
            status,
            reason,
            version,
            nominates: facts.options.nominates,
            keep_alive: facts.options.keeps_alive(version) && body != Body::UntilClose,
            body,
            block,
            map: None,
        })
    }

    /// The status, 100 to 599.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the final answer is still to come.
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether the first line is as we would write it.
    pub(crate) const fn has_usual_line(&self) -> bool {
        matches!(self.version, Version::Http11) && self.reason.start == STATUS_LINE_LEAD
    }

    /// The words behind the status, as sent.
    pub(crate) fn reason(&self) -> &[u8] {
        self.reason.of(&self.block.bytes)
    }

    /// How the body is framed, with the method and the status taken into account.
    pub const fn body(&self) -> Body {
        self.body
    }

    /// The version that the server speaks.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the server will take another request on this connection.
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// All fields as sent, hop-by-hop ones included.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.block.fields()
    }

    /// The fields that go on to the next hop: what a translation to HTTP/2 reads.
    pub fn end_to_end(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        end_to_end(&self.block, self.nominates)
    }

    /// The first value of a field.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.block.header(name)
    }

    /// All values of a field.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.block.headers(name)
    }

    /// Marks the head as one whose body has this framing; for a head that came over HTTP/2 or is our own.
    pub(crate) const fn set_body(&mut self, body: Body) {
        self.body = body;
    }
}

fn end_to_end(block: &Block, nominates: bool) -> impl Iterator<Item = (&[u8], &[u8])> {
    block
        .fields
        .iter()
        .filter(move |field| {
            !(field.kind.is_hop() || (nominates && block.nominates(field.name.of(&block.bytes))))
        })
        .map(|field| (field.name.of(&block.bytes), field.value.of(&block.bytes)))
}

/// The framing of an answer, RFC 9112 section 6.3, made stricter.
fn answer_body(
    status: u16,
    framing: Option<Body>,
    asked: Asked,
    encoded: bool,
) -> Result<Body, Malformed> {
    if status < 200 || status == 204 {
        let announced = encoded || framing.is_some_and(|body| status < 200 || body != Body::None);
        return if announced { Err(Malformed::BodyForbidden) } else { Ok(Body::None) };
    }
    if asked.head || status == 304 {
        return Ok(Body::None);
    }
    Ok(framing.unwrap_or(Body::UntilClose))
}

/// Reads the head again with another first line.
fn reread(line: &[u8], first: Span, block: &Block) -> Result<RequestHead, Malformed> {
    let fields = block.bytes.get(first.end as usize..).unwrap_or_default();
    let bytes = [line, fields].concat();
    let scanned = super::scan::Scanner::default().scan(&bytes)?.ok_or(Malformed::RequestLine)?;
    RequestHead::judge(&bytes, scanned)
}

/// Names, targets and hosts were checked to be ASCII.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
