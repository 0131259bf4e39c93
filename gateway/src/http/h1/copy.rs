//! Moves a body from one connection to another.
use tokio::io::{AsyncRead, AsyncWrite};

use super::read::{BodyEvent, ReadError, Reader};
use super::write::{WriteError, Writer};

/// Which side failed. Either way the message is incomplete, and both connections have to be broken off.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The side that sends the body.
    #[error(transparent)]
    Read(ReadError),
    /// The side that takes it.
    #[error(transparent)]
    Write(WriteError),
}

/// Copies the rest of a body with its trailers and ends it; tells its bytes. Flushes whenever the source pauses.
pub async fn copy_body<R, W>(from: &mut Reader<R>, to: &mut Writer<W>) -> Result<u64, CopyError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut count = 0;
    loop {
        if !from.has_buffered() {
            to.flush().await.map_err(CopyError::Write)?;
        }
        match from.read_body().await.map_err(CopyError::Read)? {
            BodyEvent::Data(data) => {
                count += data.len() as u64;
                to.write_data(data).await.map_err(CopyError::Write)?;
            }
            BodyEvent::Last(data) => {
                to.write_data(data).await.map_err(CopyError::Write)?;
                to.finish(None).await.map_err(CopyError::Write)?;
                return Ok(count + data.len() as u64);
            }
            BodyEvent::End(trailers) => {
                let trailers = Some(&trailers).filter(|block| !block.is_empty());
                to.finish(trailers).await.map_err(CopyError::Write)?;
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
