//! Reads messages from one direction of a connection.
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::body::{Decoder, Step};
use super::buffer::Input;
use super::head::{Asked, Block, Body, RequestHead, ResponseHead};
use super::limits::{self, Waits};
use super::malformed::Malformed;
use super::scan::{Scanned, Scanner};

/// Why a message could not be read. The connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer closed, or the connection broke, before the first byte of an answer.
    #[error("connection closed before an answer")]
    Closed,
    /// The connection broke.
    #[error("connection broken: {0}")]
    Io(#[from] io::Error),
    /// The message breaks a rule.
    #[error("malformed message: {0}")]
    Malformed(#[from] Malformed),
    /// The peer did not go on in time.
    #[error("peer is too slow")]
    TimedOut,
    /// The peer closed in the middle of a message.
    #[error("connection closed within a message")]
    Truncated,
    /// The message before was not read to its end, so nobody knows where the next one begins.
    #[error("message before was not read to its end")]
    Unread,
}

impl ReadError {
    /// The status for a client whose request failed like this, if an answer makes sense.
    pub const fn request_status(&self) -> Option<u16> {
        match self {
            Self::Malformed(malformed) => Some(malformed.status()),
            Self::TimedOut => Some(408),
            Self::Closed | Self::Io(_) | Self::Truncated | Self::Unread => None,
        }
    }

    /// The name for logs and metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::Malformed(malformed) => malformed.label(),
            Self::TimedOut => "timed_out",
            Self::Truncated => "truncated",
            Self::Unread => "unread",
        }
    }
}

/// The next part of a body.
#[derive(Debug)]
pub enum BodyEvent<'a> {
    /// Some bytes, gone with the next call.
    Data(&'a [u8]),
    /// The last ones: the body ends with them, without trailers.
    Last(&'a [u8]),
    /// The end, with the trailers that may be passed on.
    End(Block),
}

/// What a peer does that should be waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stir {
    /// It has sent its last byte; it may still read.
    Ended,
    /// The connection is broken.
    Broken,
    /// It sent more: the next message perhaps.
    Sent,
}

/// Where some bytes of a body stand, or that it has ended.
type Part = Result<Option<Range<usize>>, Malformed>;

/// The reading direction of a connection. Bytes behind a message stay here for the next.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    scanner: Scanner,
    decoder: Decoder,
    /// Bytes that were lent out by the last call.
    lent: usize,
    /// The next part of the body, found and not yet asked for.
    ready: Option<Part>,
    interim: u8,
    /// Whether large pieces of a body are welcome.
    much: bool,
    waits: Waits,
    alarm: Alarm,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// A reader that holds no buffer until something comes.
    pub fn new(io: R, waits: Waits) -> Self {
        Self {
            input: Input::new(io),
            scanner: Scanner::default(),
            decoder: Decoder::new(Body::None),
            lent: 0,
            ready: None,
            interim: 0,
            much: false,
            waits,
            alarm: Alarm::new(),
        }
    }

    /// The same where `ahead` was read already, by somebody who had to know what comes.
    #[must_use]
    pub fn behind(self, ahead: Vec<u8>) -> Self {
        Self { input: self.input.behind(ahead), ..self }
    }

    /// How long the peer is waited for.
    pub(crate) const fn waits(&self) -> Waits {
        self.waits
    }

    /// The next request. `None`: the client has ended, or sent nothing for the idle time.
    pub async fn read_request(&mut self) -> Result<Option<RequestHead>, ReadError> {
        self.settle();
        if !self.is_done() {
            return Err(ReadError::Unread);
        }
        if self.input.bytes().is_empty() {
            let fill = |cx: &mut Context<'_>| self.input.poll_fill(cx);
            match self.alarm.within(self.waits.idle, fill).await {
                None | Some(Ok(0)) => return Ok(None),
                Some(filled) => filled?,
            };
        }
        let scan = |cx: &mut Context<'_>| poll_scan(&mut self.scanner, &mut self.input, cx);
        let scanned = self.alarm.within(self.waits.head, scan).await;
        let scanned = scanned.ok_or(ReadError::TimedOut)??;
        let end = scanned.end;
        let head = RequestHead::judge(self.input.bytes(), scanned)?;
        self.begin(end, head.body());
        Ok(Some(head))
    }

    /// The next head of the answer to `asked`, an interim one perhaps (a 100 that was not asked for is left out).
    pub async fn read_response(&mut self, asked: Asked) -> Result<ResponseHead, ReadError> {
        let mut alarm = std::mem::take(&mut self.alarm);
        let by = Instant::now() + self.waits.head;
        let read = self.read_response_by(asked, by, &mut alarm).await;
        self.alarm = alarm;
        read
    }

    /// The same, with the time until which its last byte has to come.
    pub(crate) async fn read_response_by(
        &mut self,
        asked: Asked,
        by: Instant,
        alarm: &mut Alarm,
    ) -> Result<ResponseHead, ReadError> {
        self.settle();
        if !self.is_done() {
            return Err(ReadError::Unread);
        }
        loop {
            let scan = |cx: &mut Context<'_>| poll_scan(&mut self.scanner, &mut self.input, cx);
            let scanned = alarm.until(by, scan).await;
            let scanned = match scanned.ok_or(ReadError::TimedOut)? {
                Err(ReadError::Truncated | ReadError::Io(_))
                    if self.input.bytes().is_empty() && self.interim == 0 =>
                {
                    return Err(ReadError::Closed);
                }
                scanned => scanned?,
            };
            let end = scanned.end;
            let head = ResponseHead::judge(self.input.bytes(), scanned, asked)?;
            self.begin(end, head.body());
            if !head.is_interim() {
                self.interim = 0;
                return Ok(head);
            }
            self.interim += 1;
            if self.interim > limits::INTERIM_HEADS {
                return Err(Malformed::TooManyInterim.into());
            }
            if head.status() != 100 || asked.expects_continue {
                return Ok(head);
            }
        }
    }

    /// The next part of the body. May be dropped while it waits, and called again.
    pub async fn read_body(&mut self) -> Result<BodyEvent<'_>, ReadError> {
        Ok(match self.next_range().await? {
            Some(range) => {
                let data = self.input.bytes().get(range).unwrap_or_default();
                if self.decoder.is_done() { BodyEvent::Last(data) } else { BodyEvent::Data(data) }
            }
            None => BodyEvent::End(self.decoder.take_trailers()),
        })
    }

    /// Says whether the next parts of the body may be large: whoever is slow to take them would hold
    /// much memory.
    pub const fn allow_much(&mut self, much: bool) {
        self.much = much;
    }

    /// Whether the next part of the body is here already: if not, it is time to flush the other side.
    pub fn has_buffered(&mut self) -> bool {
        if self.ready.is_none() {
            self.ready = self.find();
        }
        self.ready.is_some()
    }

    /// Whether the message has been read to its end.
    pub const fn is_done(&self) -> bool {
        self.decoder.is_done() && !matches!(self.ready, Some(Ok(Some(_)) | Err(_)))
    }

    /// Whether bytes behind the message are there already.
    pub fn has_surplus(&self) -> bool {
        self.is_done() && self.lent < self.input.bytes().len()
    }

    /// Throws the rest of the body away if it is small and comes in time. True: the message is read.
    pub async fn drain(&mut self) -> bool {
        let mut left = limits::DRAIN_BYTES;
        let drained = async {
            loop {
                match self.read_body().await {
                    Ok(BodyEvent::End(_)) => return true,
                    Ok(BodyEvent::Last(data)) => return data.len() as u64 <= left,
                    Ok(BodyEvent::Data(data)) if data.len() as u64 <= left => {
                        left -= data.len() as u64;
                    }
                    _ => return false,
                }
            }
        };
        let mut drained = pin!(drained);
        let drain = |cx: &mut Context<'_>| drained.as_mut().poll(cx);
        Alarm::new().within(limits::DRAIN, drain).await.unwrap_or(false)
    }

    /// Waits, without end, until a peer whose message is read stirs. May be dropped.
    pub async fn stirs(&mut self) -> Stir {
        self.settle();
        if !self.input.bytes().is_empty() {
            return Stir::Sent;
        }
        match poll_fn(|cx| self.input.poll_fill(cx)).await {
            Ok(0) => Stir::Ended,
            Ok(_) => Stir::Sent,
            Err(_) => Stir::Broken,
        }
    }

    /// Whether a peer that should be waiting has stirred: more is here, or `look` sees something.
    pub(crate) fn has_stirred(&mut self, look: impl FnOnce(&mut R) -> bool) -> bool {
        self.settle();
        !self.input.bytes().is_empty() || look(self.input.io())
    }

    /// The stream and the bytes that were read behind the last message.
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        self.settle();
        self.input.into_parts()
    }

    /// Reads and forgets until the peer ends, up to a limit.
    pub(crate) async fn linger(&mut self) {
        self.settle();
        let mut left = limits::LINGER_BYTES;
        loop {
            self.input.take(usize::MAX);
            match poll_fn(|cx| self.input.poll_fill(cx)).await {
                Ok(count) if count > 0 && count <= left => left -= count,
                _ => return,
            }
        }
    }

    /// Where the next part of the body stands; `None`: it has ended.
    async fn next_range(&mut self) -> Result<Option<Range<usize>>, ReadError> {
        while !self.has_buffered() {
            let (input, much) = (&mut self.input, self.much);
            let fill = |cx: &mut Context<'_>| {
                if much { input.poll_fill_much(cx) } else { input.poll_fill(cx) }
            };
            let filled = self.alarm.within(self.waits.body, fill).await;
            if filled.ok_or(ReadError::TimedOut)?? == 0 && !self.decoder.close() {
                return Err(ReadError::Truncated);
            }
        }
        let range = self.ready.take().unwrap_or(Ok(None))?;
        self.lent = range.as_ref().map_or(0, |range| range.end);
        Ok(range)
    }

    /// The next part of the body, if it can be told from what is here.
    #[inline(never)]
    fn find(&mut self) -> Option<Part> {
        self.settle();
        match self.decoder.step(self.input.bytes()) {
            Ok(Step::Data(range)) => Some(Ok(Some(range))),
            Ok(Step::End(taken)) => {
                self.input.take(taken);
                Some(Ok(None))
            }
            Ok(Step::More(taken)) => {
                self.input.take(taken);
                None
            }
            Err(malformed) => Some(Err(malformed)),
        }
    }

    fn begin(&mut self, head: usize, body: Body) {
        self.input.take(head);
        self.decoder = Decoder::new(body);
        self.ready = None;
    }

    fn settle(&mut self) {
        self.input.take(std::mem::take(&mut self.lent));
    }
}

/// Reads until the head is complete.
fn poll_scan<R: AsyncRead + Unpin>(
    scanner: &mut Scanner,
    input: &mut Input<R>,
    cx: &mut Context<'_>,
) -> Poll<Result<Scanned, ReadError>> {
    loop {
        if !input.bytes().is_empty()
            && let Some(scanned) = scanner.scan(input.bytes())?
        {
            return Poll::Ready(Ok(scanned));
        }
        if input.is_full() {
            return Poll::Ready(Err(Malformed::HeadTooLarge.into()));
        }
        if ready!(input.poll_fill(cx))? == 0 {
            return Poll::Ready(Err(ReadError::Truncated));
        }
    }
}

#[cfg(test)]
mod tests;
