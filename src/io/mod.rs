//! How do bytes and time get in and out? The task that owns the node, and the [`Handle`] to it.
