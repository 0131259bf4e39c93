//! One timer for all the waits of a connection's direction, one after the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

#[cfg(test)]
mod tests;

/// What is waited for: polled until it is ready.
pub(crate) trait Work<T>: FnMut(&mut Context<'_>) -> Poll<T> {}

impl<T, F: FnMut(&mut Context<'_>) -> Poll<T>> Work<T> for F {}

/// Rings when a wait has lasted too long.
///
/// Nearly every wait ends early, and the timer stays set then: it rings once in the time of a
/// whole wait, finds a later deadline, and is set for that. So a wait costs a look at the clock
/// and no change of a timer.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// Who is woken.
    waker: Option<Waker>,
}

impl Alarm {
    /// A timer is made with the first wait that has to wait.
    pub(crate) const fn new() -> Self {
        Self { timer: None, waker: None }
    }

    /// Works for at most `wait`. `None`: that was too short.
    pub(crate) fn within<T>(
        &mut self,
        wait: Duration,
        work: impl Work<T>,
    ) -> impl Future<Output = Option<T>> {
        let mut by = None;
        self.run(work, move || *by.get_or_insert_with(|| Instant::now() + wait))
    }

    /// Works until `by` at most. `None`: that was too early.
    pub(crate) fn until<T>(
        &mut self,
        by: Instant,
        work: impl Work<T>,
    ) -> impl Future<Output = Option<T>> {
        self.run(work, move || by)
    }

    /// No `async fn`, as each would hold a copy of the work, and requests consist of such waits.
    fn run<T>(
        &mut self,
        mut work: impl Work<T>,
        mut by: impl FnMut() -> Instant,
    ) -> impl Future<Output = Option<T>> {
        poll_fn(move |cx| match work(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_passed(cx, by()).map(|()| None),
        })
    }

    /// Whether `by` has passed; if not, the task is woken by then.
    #[inline(never)]
    fn poll_passed(&mut self, cx: &mut Context<'_>, by: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(by)));
        let rung = timer.is_elapsed();
        if rung && timer.deadline() >= by {
            return Poll::Ready(());
        }
        let is_known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_known && !rung && timer.deadline() <= by {
            return Poll::Pending;
        }
        if rung || timer.deadline() > by {
            timer.as_mut().reset(by);
        }
        self.waker = Some(cx.waker().clone());
        // One that is set for an earlier wait may ring right here: then it is set for this one.
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= by {
                return Poll::Ready(());
            }
            timer.as_mut().reset(by);
        }
        Poll::Pending
    }
}
