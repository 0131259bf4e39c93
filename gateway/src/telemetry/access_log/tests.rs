use std::sync::mpsc::Sender;

use super::*;

struct Collector(Sender<Vec<u8>>);

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Blocks every write until its sender is dropped.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ended = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn entry(path: &str) -> Entry<'_> {
    Entry {
        ts: jiff::Timestamp::UNIX_EPOCH,
        request_id: "",
        trace_id: "",
        method: "GET",
        authority: "shop.test",
        path,
        protocol: "HTTP/1.1",
        route: &"HTTPRoute shop/web",
        rule: &0,
        cluster: "local",
        endpoint: &"192.0.2.1:80",
        status: 200,
        flags: "-",
        duration_ms: 1.5,
        bytes_in: 0,
        bytes_out: 0,
        attempts: 1,
        client: ([192, 0, 2, 2], 5000).into(),
        sni: "",
    }
}

/// What two workers have logged, line by line.
fn logged(paths: &[(usize, &str)]) -> Vec<serde_json::Value> {
    let (sender, written) = channel();
    let log = AccessLog::start(2, Collector(sender)).unwrap();
    for (worker, path) in paths {
        log.write(*worker, &entry(path));
    }
    drop(log);
    let text = String::from_utf8(written.iter().flatten().collect()).unwrap();
    text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_entry_is_one_line_whatever_a_client_sends() {
    let path = "/a\n{\"status\":200}\r\u{1b}[31m\u{2028}";
    let lines = logged(&[(0, path), (0, path)]);
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["path"] == path));
}

#[test]
fn all_workers_are_heard() {
    let lines = logged(&[(0, "/a"), (1, "/b"), (0, "/c")]);
    let mut paths: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/a", "/b", "/c"]);
}

#[test]
fn numbers_are_numbers_and_all_else_is_text() {
    let lines = logged(&[(0, "/a")]);
    let text = ["ts", "route", "rule", "endpoint", "client"].map(|key| lines[0][key].as_str());
    let expected =
        ["1970-01-01T00:00:00Z", "HTTPRoute shop/web", "0", "192.0.2.1:80", "192.0.2.2:5000"];
    assert_eq!(text, expected.map(Some));
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["duration_ms"], 1.5);
}

#[test]
fn lines_come_without_an_end_of_the_log() {
    let (sender, written) = channel();
    let log = AccessLog::start(1, Collector(sender)).unwrap();
    for path in ["/a", "/b"] {
        log.write(0, &entry(path));
        let line = written.recv().unwrap();
        assert!(String::from_utf8(line).unwrap().contains(path));
    }
}

#[test]
fn what_has_come_is_written_before_the_log_is_closed() {
    let (sender, written) = channel();
    let log = AccessLog::start(1, Collector(sender)).unwrap();
    log.write(0, &entry("/last"));
    log.close();
    assert!(String::from_utf8(written.try_recv().unwrap()).unwrap().contains("/last"));
}

#[test]
fn a_stuck_reader_costs_lines_and_no_time() {
    let (release, stuck) = channel();
    let log = AccessLog::start(1, Stuck(stuck)).unwrap();
    let line = serde_json::to_vec(&entry("/a")).unwrap().len() + 1;
    // As much as is being written, as much as waits, and some.
    let sent = 2 * WAITING_BYTES_MAX / line + 1000;
    for _ in 0..sent {
        log.write(0, &entry("/a"));
    }
    assert!(log.dropped() > 0);
    drop(release);
}

#[test]
fn lines_that_nobody_takes_are_counted() {
    let (sender, written) = channel();
    let log = AccessLog::start(1, Collector(sender)).unwrap();
    drop(written);
    log.write(0, &entry("/a"));
    log.write(0, &entry("/b"));
    log.close();
    assert_eq!(log.dropped(), 2);
}
