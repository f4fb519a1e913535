//! What a running program says, one item after the other, and how to wait for it.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for something that should happen soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Items heard so far. Clones share them: a reader thread pushes, a test waits.
pub(super) struct Heard<T>(Arc<(Mutex<State<T>>, Condvar)>);

struct State<T> {
    items: Vec<T>,
    ended: bool,
}

impl<T> Clone for Heard<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone + Debug> Heard<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new((Mutex::new(State { items: Vec::new(), ended: false }), Condvar::new())))
    }

    pub(super) fn push(&self, item: T) {
        self.change(|state| state.items.push(item));
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        let (state, changed) = &*self.0;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// Everything so far.
    pub(super) fn all(&self) -> Vec<T> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).items.clone()
    }

    /// Waits until `pick` finds what it looks for in everything heard so far. Fails, telling
    /// `what` was awaited and what came instead, if it does not in time.
    #[track_caller]
    pub(super) fn wait_within<R>(
        &self,
        patience: Duration,
        what: &str,
        mut pick: impl FnMut(&[T]) -> Option<R>,
    ) -> R {
        let (state, changed) = &*self.0;
        let mut found = None;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = changed
            .wait_timeout_while(state, patience, |state| {
                found = pick(&state.items);
                found.is_none() && !state.ended
            })
            .unwrap_or_else(PoisonError::into_inner);
        let Some(found) = found else {
            let why = if state.ended { "ended without" } else { "too long without" };
            let items = state.items.clone();
            drop(state);
            panic!(
                "{why} {what}; heard {} items, the last of them {:#?}",
                items.len(),
                tail(&items)
            );
        };
        found
    }

    #[track_caller]
    pub(super) fn wait<R>(&self, what: &str, pick: impl FnMut(&[T]) -> Option<R>) -> R {
        self.wait_within(PATIENCE, what, pick)
    }

    /// Waits for the first item that is `wanted`.
    #[track_caller]
    pub(super) fn first(&self, what: &str, mut wanted: impl FnMut(&T) -> bool) -> T {
        self.wait(what, |items| items.iter().find(|item| wanted(item)).cloned())
    }

    /// Waits until nothing more can come.
    #[track_caller]
    pub(super) fn ended(&self, what: &str) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = changed
            .wait_timeout_while(state, PATIENCE, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let ended = state.ended;
        drop(state);
        assert!(ended, "{what} goes on");
    }
}

/// The last few.
pub(super) fn tail<T>(items: &[T]) -> &[T] {
    &items[items.len().saturating_sub(12)..]
}
