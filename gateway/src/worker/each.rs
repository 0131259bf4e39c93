//! What every worker has one of, as one of them sees it.

use std::sync::Arc;

/// A value that shares no cache line with another: two workers that each write their own would
/// otherwise wait for each other all the same. Processors fetch lines in pairs, hence 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Alone<T>(pub T);

/// One `T` of each worker: its own, which it uses on the way of every request, and those of the
/// others, which it looks into when its own does not help.
#[derive(Debug)]
pub struct Each<T> {
    all: Arc<[Alone<T>]>,
    own: usize,
}

impl<T: Default> Each<T> {
    /// For each of `count` workers.
    pub fn of(count: usize) -> impl Iterator<Item = Self> {
        let all: Arc<[Alone<T>]> = (0..count).map(|_| Alone::default()).collect();
        (0..count).map(move |own| Self { all: Arc::clone(&all), own })
    }
}

impl<T: Default> Default for Each<T> {
    /// For a worker that is alone.
    fn default() -> Self {
        Self { all: [Alone::default()].into(), own: 0 }
    }
}

impl<T> Each<T> {
    /// One's own.
    #[expect(clippy::indexing_slicing, reason = "there are as many as owners")]
    pub fn own(&self) -> &T {
        &self.all[self.own].0
    }

    /// Those of the others. Everybody begins with another, so that not all look into the same.
    pub fn others(&self) -> impl Iterator<Item = &T> {
        let (before, after) = self.all.split_at(self.own);
        after.iter().skip(1).chain(before).map(|alone| &alone.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_are_all_but_ones_own_and_begin_behind_it() {
        let each: Vec<Each<std::sync::OnceLock<usize>>> = Each::of(3).collect();
        for (number, one) in each.iter().enumerate() {
            one.own().set(number).unwrap();
        }
        let seen = |one: &Each<std::sync::OnceLock<usize>>| {
            one.others().map(|other| *other.get().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(seen(&each[0]), [1, 2]);
        assert_eq!(seen(&each[1]), [2, 0]);
        assert_eq!(seen(&each[2]), [0, 1]);
    }
}
