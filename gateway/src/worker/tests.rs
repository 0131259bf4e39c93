//! Threads, and where work goes.

use std::sync::mpsc;

use super::*;

/// For what another thread does at once.
const WAIT: Duration = Duration::from_secs(10);

#[test]
fn work_goes_to_the_worker_with_the_least_to_do() {
    let workers = Workers::start((2, 0), &Arc::default(), &Metrics::new().unwrap()).unwrap();
    let seats = workers.seats();
    let busy = seats.least_loaded().unwrap();
    busy.run(|_| std::future::pending());
    let next = seats.least_loaded().unwrap();
    assert!(!Arc::ptr_eq(busy, next));
    assert_eq!((busy.tasks(), next.tasks()), (1, 0));
}

#[test]
fn a_panic_ends_its_task_alone() {
    let workers = Workers::start((1, 0), &Arc::default(), &Metrics::new().unwrap()).unwrap();
    let seat = workers.seats().least_loaded().unwrap();
    let (done, ended) = mpsc::channel();
    seat.run(|_| async { panic!("a task that fails") });
    seat.run(|_| async move { done.send(()).unwrap() });
    ended.recv_timeout(WAIT).unwrap();
}

#[test]
fn the_drop_of_all_ends_what_still_runs() {
    struct Tell(mpsc::Sender<()>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let workers = Workers::start((2, 0), &Arc::default(), &Metrics::new().unwrap()).unwrap();
    let (dropped, ended) = mpsc::channel();
    // Whoever holds the places of a task must not keep the threads.
    let seats = workers.seats().clone();
    let tell = Tell(dropped);
    workers.seats().least_loaded().unwrap().run(move |_| async move {
        let _held = (tell, seats);
        std::future::pending::<()>().await;
    });
    drop(workers);
    ended.recv_timeout(WAIT).unwrap();
}
