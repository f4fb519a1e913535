//! Untrusted text made safe for a terminal, and its width there.
