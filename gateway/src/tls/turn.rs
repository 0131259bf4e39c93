//! Turns for work that holds a thread for long: the steps of a handshake.
//!
//! Whoever arrives while a hundred handshakes are due would wait for all of them. So each step takes
//! a turn, and after one that was long the next turn comes when the runtime has looked for events once
//! more: between two long steps everybody else who is ready gets on.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

#[cfg(test)]
mod tests;

/// A step is long from here on: one that exchanges keys or checks a signature is, one that finds
/// nothing to read takes a hundredth of it.
const LONG: Duration = Duration::from_micros(50);

thread_local! {
    /// The one turn of this thread.
    static TURN: Arc<Semaphore> = Arc::new(Semaphore::new(1));
}

/// Does `work`, of which every step takes a turn of the thread that does it.
pub(super) async fn in_turn<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut turn = PollSemaphore::new(TURN.with(Arc::clone));
    std::future::poll_fn(|cx| step(work.as_mut(), &mut turn, cx)).await
}

fn step<F: Future>(
    work: Pin<&mut F>,
    turn: &mut PollSemaphore,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    // Nobody closes it.
    let permit = ready!(turn.poll_acquire(cx));
    let began = Instant::now();
    let done = work.poll(cx);
    if began.elapsed() >= LONG {
        tokio::spawn(async move {
            // Ends when the runtime has looked for events.
            tokio::task::yield_now().await;
            drop(permit);
        });
    }
    done
}
