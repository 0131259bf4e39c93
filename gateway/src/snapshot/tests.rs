//! Who sees which snapshot, and for how long.

use super::*;

#[test]
fn a_worker_sees_the_snapshot_of_now() {
    let published = Published::default();
    assert!(Arc::ptr_eq(&*published.seen(), &published.load()));
    let before = published.seen();
    drop(published.swap(Arc::default()));
    let after = published.seen();
    assert!(Arc::ptr_eq(&*after, &published.load()));
    assert!(!Arc::ptr_eq(&before, &after), "who holds the last one keeps it");
    assert!(Arc::ptr_eq(&after, &published.seen()), "the same while nothing changes");
}

#[test]
fn a_worker_holds_the_last_snapshot_until_it_looks_again() {
    let published = Published::default();
    let last = Arc::downgrade(&published.load_full());
    drop(published.seen());
    drop(published.swap(Arc::default()));
    assert!(last.upgrade().is_some(), "nobody has looked yet");
    published.seen();
    assert!(last.upgrade().is_none());
}
