//! Writes a head for the other side: the lines as they came, without those that end here, with those that change.
use config::table::{HeaderChange, NameMarks};

use super::body::Encoder;
use super::grammar;
use super::head::{Block, Body, ReplyTo, RequestHead, ResponseHead, Version};
use super::malformed::Malformed;
use super::scan::{Field, Kind, Seen, Span};

mod own;

pub use own::{OwnField, OwnLines};

/// One wish of a filter or of the gateway itself. Fields of framing and connection are not in its reach:
/// a filter that names one is refused, and no line of them is taken away. It can be written without
/// changing what the message means to a parser: names and values are of types that hold nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// What a filter says.
    Filter(&'a HeaderChange),
    /// No line of this name.
    Remove(&'a str),
    /// This line of the gateway's own instead of all of its name.
    Own(&'static OwnField, &'a [u8]),
    /// Several lines of this kind, written ahead.
    OwnLines(&'a OwnLines),
}

impl Change<'_> {
    /// Whether lines of this name go.
    fn drops(&self, name: &[u8]) -> bool {
        match self {
            Self::Filter(change) => {
                change.dropped().any(|dropped| grammar::same(dropped.as_str().as_bytes(), name))
            }
            Self::Remove(removed) => grammar::same(removed.as_bytes(), name),
            Self::Own(field, _) => field.is_named(name),
            Self::OwnLines(lines) => lines.fields().any(|(field, _)| field.is_named(name)),
        }
    }

    /// The marks of its names.
    fn marks(&self) -> NameMarks {
        match self {
            Self::Filter(change) => change.marks(),
            Self::Remove(name) => NameMarks::of(name.as_bytes()),
            Self::Own(field, _) => field.mark(),
            Self::OwnLines(lines) => lines.marks(),
        }
    }

    const fn is_own(&self) -> bool {
        matches!(self, Self::Own(..) | Self::OwnLines(_))
    }
}

/// Appends a field line.
pub(crate) fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the request for the next hop: `target` in origin form replaces its own if given, HTTP/1.1 always,
/// then the lines. Tells how the body is to be framed.
pub fn write_request(
    head: &RequestHead,
    target: Option<&str>,
    changes: &[Change<'_>],
    out: &mut Vec<u8>,
) -> Result<Encoder, Malformed> {
    let changes = Changes::of(changes);
    let as_it_came = target.is_none() && head.version() == Version::Http11;
    if !as_it_came {
        let (method, own_target) = head.asked_for();
        let target = match target {
            Some(target) => origin_form(method, target.as_bytes())?,
            None => own_target,
        };
        for part in [method, b" ", target, b" HTTP/1.1\r\n"] {
            out.extend_from_slice(part);
        }
    }
    let old_expect = head.block.seen.has(Kind::Expect) && !head.expects_continue();
    let lines = Lines {
        block: &head.block,
        with_first: as_it_came,
        nominates: head.nominates,
        left_out: Seen::HOPS.with(Kind::Expect, old_expect),
        ours: Seen::LENGTH.with(Kind::Host, true),
    };
    lines.copy(&changes, out);
    changes.append(out);
    end_request(head, out);
    Ok(Encoder::of_request(head.body()))
}

/// A target of the gateway's own making; that of a head has been judged.
fn origin_form<'a>(method: &[u8], target: &'a [u8]) -> Result<&'a [u8], Malformed> {
    match super::rules::form(method, target)? {
        super::rules::Form::Absolute { .. } => Err(Malformed::Target),
        _ => Ok(target),
    }
}

/// Appends what the connection to the server needs, and the empty line.
fn end_request(head: &RequestHead, out: &mut Vec<u8>) {
    let trailers = head.accepts_trailers();
    if head.is_websocket() {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    } else if trailers {
        out.extend_from_slice(b"connection: te\r\nte: trailers\r\n");
    }
    match head.body() {
        Body::Chunked | Body::UntilClose => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        Body::Length(length) if !head.block.seen.has(Kind::ContentLength) => {
            length_line(length, out);
        }
        Body::Length(_) | Body::None => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer for a client. Tells how the body is to be framed; `UntilClose` and a `ReplyTo` that does not
/// keep the connection say `connection: close`.
pub fn write_response(
    head: &ResponseHead,
    to: ReplyTo,
    changes: &[Change<'_>],
    out: &mut Vec<u8>,
) -> Encoder {
    let changes = Changes::of(changes);
    let as_it_came = head.has_usual_line();
    if !as_it_came {
        status_line(head, out);
    }
    let no_length = head.status() == 204 || head.status() < 200;
    let lines = Lines {
        block: &head.block,
        with_first: as_it_came,
        nominates: head.nominates,
        left_out: Seen::HOPS.with(Kind::ContentLength, no_length),
        ours: Seen::LENGTH,
    };
    lines.copy(&changes, out);
    changes.append(out);
    let encoder = response_encoder(head, to);
    if head.status() == 101 {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n");
        return encoder;
    }
    if head.status() >= 200 {
        frame_response(head, encoder, to, out);
    }
    out.extend_from_slice(b"\r\n");
    encoder
}

fn frame_response(head: &ResponseHead, encoder: Encoder, to: ReplyTo, out: &mut Vec<u8>) {
    match encoder {
        Encoder::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Encoder::Length(length)
            if head.status() != 204 && !head.block.seen.has(Kind::ContentLength) =>
        {
            length_line(length, out);
        }
        Encoder::Length(_) | Encoder::Discard | Encoder::UntilClose => {}
    }
    if !to.keep_alive || encoder == Encoder::UntilClose {
        out.extend_from_slice(b"connection: close\r\n");
    } else if to.version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
}

fn response_encoder(head: &ResponseHead, to: ReplyTo) -> Encoder {
    if to.head || head.status() < 200 || head.status() == 304 {
        return Encoder::Discard;
    }
    match head.body() {
        Body::None => Encoder::Length(0),
        Body::Length(length) => Encoder::Length(length),
        Body::Chunked | Body::UntilClose if to.version == Version::Http11 => Encoder::Chunked,
        Body::Chunked | Body::UntilClose => Encoder::UntilClose,
    }
}

fn status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(u64::from(head.status()), out);
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

/// Changes, and what tells most lines from those that they drop.
struct Changes<'a> {
    all: &'a [Change<'a>],
    /// Where those begin that may replace what the gateway itself writes.
    filters: usize,
    /// The marks of all names.
    marks: NameMarks,
    /// The same of those that are not our own.
    of_filters: NameMarks,
}

impl<'a> Changes<'a> {
    #[inline(never)]
    fn of(all: &'a [Change<'a>]) -> Self {
        let (mut filters, none) = (0, NameMarks::default());
        let (mut own, mut of_filters) = (none, none);
        for (at, change) in all.iter().enumerate() {
            if change.is_own() {
                filters = at + 1;
                own = own.with(change.marks());
            } else {
                of_filters = of_filters.with(change.marks());
            }
        }
        Self { all, filters, marks: own.with(of_filters), of_filters }
    }

    /// Whether lines of this name are taken away.
    fn drop(&self, name: &[u8]) -> bool {
        let mark = NameMarks::of(name);
        let mut all = self.all.iter();
        self.marks.meet(mark) && all.any(|change| change.marks().meet(mark) && change.drops(name))
    }

    #[inline(never)]
    fn append(&self, out: &mut Vec<u8>) {
        for (at, change) in self.all.iter().enumerate() {
            match change {
                Change::Own(field, value) => self.own_line(field, value, out),
                Change::OwnLines(lines) if !self.of_filters.meet(lines.marks()) => {
                    out.extend_from_slice(lines.text());
                }
                Change::OwnLines(lines) => {
                    lines.fields().for_each(|(field, value)| self.own_line(field, value, out));
                }
                Change::Filter(change) => self.added_lines(change, at + 1, out),
                Change::Remove(_) => {}
            }
        }
    }

    /// Appends the lines that a filter adds, but for those that one from there on drops.
    fn added_lines(&self, change: &HeaderChange, from: usize, out: &mut Vec<u8>) {
        debug_assert!(
            change.added().all(|(name, _)| Kind::of(name.as_str().as_bytes()).is_free()),
            "{change:?} is not to be"
        );
        let later = self.all.get(from..).unwrap_or_default();
        if !later.iter().any(|next| next.marks().meet(change.marks())) {
            return out.extend_from_slice(change.lines());
        }
        for (name, value) in change.added() {
            let name = name.as_str().as_bytes();
            if !later.iter().any(|next| next.drops(name)) {
                line(name, value.as_bytes(), out);
            }
        }
    }

    /// Appends a line of our own, unless a filter replaces it. No two of ours have the same name.
    fn own_line(&self, field: &OwnField, value: &[u8], out: &mut Vec<u8>) {
        if !(self.of_filters.meet(field.mark()) && self.filters_drop(field.text())) {
            field.write(value, out);
        }
    }

    fn filters_drop(&self, name: &[u8]) -> bool {
        let filters = self.all.get(self.filters..).unwrap_or_default();
        filters.iter().any(|filter| filter.drops(name))
    }
}

/// The lines of a head, and which of them go on.
struct Lines<'a> {
    block: &'a Block,
    /// Whether the first line goes on as it came.
    with_first: bool,
    /// Whether `Connection` names any of them.
    nominates: bool,
    /// The kinds of those that do not.
    left_out: Seen,
    /// The kinds of those that no change takes away.
    ours: Seen,
}

impl Lines<'_> {
    /// Copies those that go on, neighbours in one go.
    #[inline(never)]
    fn copy(&self, changes: &Changes<'_>, out: &mut Vec<u8>) {
        let Block { bytes, fields, .. } = self.block;
        let mut to = self.block.fields_begin();
        let mut from = if self.with_first { 0 } else { to };
        for field in fields {
            if self.leaves_out(field, changes) {
                out.extend_from_slice(Span { start: from, end: to }.of(bytes));
                from = field.end;
            }
            to = field.end;
        }
        out.extend_from_slice(Span { start: from, end: to }.of(bytes));
    }

    fn leaves_out(&self, field: &Field, changes: &Changes<'_>) -> bool {
        let name = field.name.of(&self.block.bytes);
        self.left_out.has(field.kind)
            || (self.nominates && self.block.nominates(name))
            || (!self.ours.has(field.kind) && changes.drop(name))
    }
}

fn length_line(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    number(length, out);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut left = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        used += 1;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests;
