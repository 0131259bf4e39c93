use std::pin::pin;

use tokio::time::{advance, sleep};

use super::*;

const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_mins(1);

fn never(_cx: &mut Context<'_>) -> Poll<()> {
    Poll::Pending
}

/// Sleeps for `how_long`, while the alarm is set for `wait`.
async fn sleeps(alarm: &mut Alarm, wait: Duration, how_long: Duration) -> Option<()> {
    let mut sleep = pin!(sleep(how_long));
    alarm.within(wait, |cx| sleep.as_mut().poll(cx)).await
}

#[tokio::test(start_paused = true)]
async fn work_that_is_done_in_time_gives_its_result() {
    let mut alarm = Alarm::new();
    assert_eq!(alarm.within(SHORT, |_cx| Poll::Ready(7)).await, Some(7));
    assert!(alarm.timer.is_none(), "nothing had to wait");
    assert_eq!(sleeps(&mut alarm, SHORT, SHORT / 2).await, Some(()));
}

#[tokio::test(start_paused = true)]
async fn each_wait_has_its_own_time_whatever_the_timer_is_set_for() {
    let mut alarm = Alarm::new();
    for wait in [SHORT, LONG, SHORT, SHORT] {
        let began = Instant::now();
        assert_eq!(alarm.within(wait, never).await, None);
        let took = began.elapsed();
        assert!(took >= wait && took < wait + Duration::from_millis(5), "{wait:?} took {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_after_one_that_ended_early_is_not_cut_short() {
    let mut alarm = Alarm::new();
    for _ in 0..10 {
        // Leaves the timer set for a moment in the midst of the next wait.
        assert_eq!(sleeps(&mut alarm, SHORT, SHORT * 3 / 4).await, Some(()));
    }
    advance(LONG).await;
    assert_eq!(sleeps(&mut alarm, SHORT, SHORT * 3 / 4).await, Some(()));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_another_task_goes_on_with_wakes_that_task() {
    let mut alarm = Alarm::new();
    assert_eq!(sleeps(&mut alarm, LONG, SHORT).await, Some(()));
    let elsewhere = tokio::spawn(async move { alarm.within(LONG, never).await });
    assert_eq!(elsewhere.await.unwrap(), None);
}
