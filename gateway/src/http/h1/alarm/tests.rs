use std::future::{pending, ready};

use tokio::time::{advance, sleep};

use super::*;

const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn work_that_is_done_in_time_gives_its_result() {
    let mut alarm = Alarm::new();
    assert_eq!(alarm.within(SHORT, ready(7)).await, Some(7));
    assert!(alarm.timer.is_none(), "nothing had to wait");
    let late = async {
        sleep(SHORT / 2).await;
        8
    };
    assert_eq!(alarm.within(SHORT, late).await, Some(8));
}

#[tokio::test(start_paused = true)]
async fn each_wait_has_its_own_time_whatever_the_timer_is_set_for() {
    let mut alarm = Alarm::new();
    for wait in [SHORT, LONG, SHORT, SHORT] {
        let began = Instant::now();
        assert_eq!(alarm.within(wait, pending::<()>()).await, None);
        let took = began.elapsed();
        assert!(took >= wait && took < wait + Duration::from_millis(5), "{wait:?} took {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_after_one_that_ended_early_is_not_cut_short() {
    let mut alarm = Alarm::new();
    for _ in 0..10 {
        // Leaves the timer set for a moment in the midst of the next wait.
        assert_eq!(alarm.within(SHORT, sleep(SHORT * 3 / 4)).await, Some(()));
    }
    advance(LONG).await;
    assert_eq!(alarm.within(SHORT, sleep(SHORT * 3 / 4)).await, Some(()));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_another_task_goes_on_with_wakes_that_task() {
    let mut alarm = Alarm::new();
    assert_eq!(alarm.within(LONG, sleep(SHORT)).await, Some(()));
    let elsewhere = tokio::spawn(async move { alarm.within(LONG, pending::<()>()).await });
    assert_eq!(elsewhere.await.unwrap(), None);
}
