//! Spanway's own HTTP/1: one strict pass over the raw bytes, no header map.
//!
//! # Shape
//! A pure core that knows no socket: `scan` (lines to spans), `rules` (what is acceptable), [`RequestHead`] and
//! [`ResponseHead`] (the judged result), [`body`] (where the bytes of a body are, how they are framed again),
//! [`edit`] (the head for the other side). Around it thin drivers over `tokio::io`: [`Reader`] and [`Writer`], one for
//! each direction, and [`ServerConn`] and [`ClientConn`], which join two of them.
//!
//! # One exchange
//! ```no_run
//! # use gateway::http::h1::*;
//! # async fn exchange<S, T>(down: S, up: T) -> Result<(), Box<dyn std::error::Error>>
//! # where S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {
//! let mut server = ServerConn::over(down, Waits::default());
//! let mut client = ClientConn::over(up, Waits::default());
//! let Some(request) = server.read_head().await? else { return Ok(()) };
//! client.start(&request, None, &[Change::Remove("accept-encoding")])?;
//! copy_body(&mut server.reader, &mut client.writer).await?; // or both directions at once: they are separate fields
//! let mut response = client.read_head().await?;
//! while response.is_interim() {
//!     server.writer.interim(&response, request.reply_to()).await?;
//!     response = client.read_head().await?;
//! }
//! server.writer.start_response(&response, request.reply_to(), &[Change::Remove("server")]);
//! copy_body(&mut client.reader, &mut server.writer).await?;
//! let _pool_it = client.is_reusable();
//! let _go_on = server.is_reusable();
//! # Ok(()) }
//! ```
//!
//! # What to know
//! - **Errors in reading a request**: [`ReadError::request_status`] is the answer, written with
//!   [`ReplyTo::unread`] and [`ServerConn::close`]. Whatever is wrong with an answer is 502. An error while a body is
//!   on its way breaks off both connections: drop them, and never finish the writer of the other side.
//! - **Framing is the codec's own.** [`Change`] takes away no `connection`, `transfer-encoding`, `content-length` or
//!   their like, and a filter that would write one is refused when its route is read. Bodies in chunks, and answers that end with their connection, leave in chunks (a client of 1.0 gets
//!   them up to the end of the connection). The caller adds `x-forwarded-*`, `x-request-id` and so on as changes.
//! - **HTTP/2** meets the same heads: [`RequestBuilder`] and [`ResponseHead::of_fields`] make them from names and
//!   values, `end_to_end()` lists what may be translated, [`Block::trailers`] makes trailers.
//! - **Both directions at once**: `reader` and `writer` are separate fields. A `read_body` or `stirs` may be dropped
//!   while it waits; a write may not.
//! - **Upgrades**: only `websocket`; after a 101 both connections end in `into_parts`, which also gives the bytes that
//!   were read behind the heads. Nothing behind an upgrade request is forwarded before that.
//! - **Interim answers**: a 100 that was not asked for is left out, a flood is an error.
//! - **Early answers**: when the answer ends before the request is sent, the client connection is not reusable; on the
//!   server side call [`Reader::drain`] or close.
//! - **`#[inline(never)]`** stands at what both directions of a request run through, so that each has no copy of its
//!   own: a request touches a tenth less memory, in callgrind. In time that makes no difference that could be measured.
//! - Every limit is in [`limits`].
mod alarm;
pub mod body;
mod buffer;
mod build;
mod client;
mod copy;
#[cfg(test)]
mod corpus;
pub mod edit;
mod first_line;
mod grammar;
mod head;
pub mod limits;
mod malformed;
mod marks;
mod read;
mod rules;
mod scan;
mod server;
mod write;

pub(crate) use alarm::Alarm;
pub use build::RequestBuilder;
pub use client::ClientConn;
pub use copy::{CopyError, copy_body};
pub use edit::{Change, OwnField, OwnLines};
pub(crate) use grammar::trim;
pub use head::{Asked, Block, Body, ReplyTo, RequestHead, ResponseHead, Version};
pub use limits::Waits;
pub use malformed::Malformed;
pub use read::{BodyEvent, ReadError, Reader, Stir};
pub(crate) use scan::Kind;
pub use server::ServerConn;
pub use write::{WriteError, Writer};
