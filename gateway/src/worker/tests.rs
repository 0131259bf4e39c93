//! Threads, and where work goes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use config::model::{BackendKey, Name, ServicePort};
use discovery::endpoint::{Endpoint, EndpointId, EndpointSet, EndpointTable, Reach};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http::h1::Waits;
use crate::snapshot::Snapshot;
use crate::upstream::pool::{IDLE_WAIT, Origin, REST};
use crate::upstream::tcp;
use crate::wire::Wire;

/// For what another thread does at once.
const WAIT: Duration = Duration::from_secs(10);

/// An endpoint that is there: connections to others are dropped by the housekeeping.
fn published(key: &BackendKey, reach: &Reach) -> Arc<Published> {
    let endpoint = Endpoint { id: EndpointId("a".into()), reach: reach.clone(), zone: None };
    let set = EndpointSet { endpoints: [Arc::new(endpoint)].into(), ..EndpointSet::default() };
    let mut table = EndpointTable::default();
    table.sets.insert(key, Arc::new(set));
    let published = Arc::<Published>::default();
    published.swap(Arc::new(Snapshot { endpoints: Arc::new(table), ..Snapshot::default() }));
    published
}

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

#[test]
fn an_idle_connection_of_one_worker_carries_what_another_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reach = Reach::Direct(address);
    let key = BackendKey::Service(ServicePort { service: Name::new("shop", "web"), port: 80 });
    let published = published(&key, &reach);
    let workers = Workers::start((2, 0), &published, &Metrics::new().unwrap()).unwrap();
    let [one, other] = &workers.seats().0[..] else { panic!("two were asked for") };
    let origin = Box::new(Origin::new(reach.clone(), key, None));
    let now = Instant::now();
    let (done, kept) = mpsc::channel();
    one.run(move |worker| async move {
        let stream = tcp::dial(address, WAIT).await.unwrap();
        let (reader, writer) = Wire::Plain(stream).split();
        let connection = Box::new(ClientConn::new(reader, writer, Waits::default()));
        worker.http1().own().put(connection, origin, now);
        done.send(()).unwrap();
    });
    kept.recv_timeout(WAIT).unwrap();
    let (done, answered) = mpsc::channel();
    other.run(move |worker| async move {
        let (later, snapshot) = (now + REST, Snapshot::default());
        let (connection, _) = loop {
            // Nobody waits for a worker that looks into its own pool, as its housekeeping does.
            match worker.http1().take(&reach, &snapshot, later, IDLE_WAIT) {
                Some(taken) => break taken,
                None => tokio::task::yield_now().await,
            }
        };
        let (reader, writer, _) = connection.into_parts();
        let mut stream = reader.join(writer).unwrap();
        stream.write_all(b"ask").await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        done.send(answer).unwrap();
    });
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(WAIT)).unwrap();
    peer.read_exact(&mut [0; 3]).unwrap();
    peer.write_all(b"answer").unwrap();
    assert_eq!(&answered.recv_timeout(WAIT).unwrap(), b"answer");
}
