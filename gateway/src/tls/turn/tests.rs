//! Who gets on between two steps.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::task::yield_now;

use super::*;

const STEPS: usize = 20;

/// A step that is long, however fast the machine is.
fn long() {
    let began = Instant::now();
    while began.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn between_two_long_steps_all_others_get_on() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..STEPS {
        tokio::spawn(in_turn(async {
            long();
            DONE.fetch_add(1, Relaxed)
        }));
    }
    let mut before = 0;
    while before < STEPS {
        yield_now().await;
        let now = DONE.load(Relaxed);
        assert!(now <= before + 1, "from {before} to {now} in one turn");
        before = now;
    }
}

#[tokio::test]
async fn who_gives_up_its_place_in_line_holds_up_nobody() {
    let first = tokio::spawn(in_turn(async { long() }));
    let second = tokio::spawn(in_turn(async { long() }));
    let third = tokio::spawn(in_turn(async { long() }));
    yield_now().await;
    second.abort();
    first.await.unwrap();
    third.await.unwrap();
}
