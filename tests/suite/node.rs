//! The engine, one rule a test: a node, hand-made datagrams, and a clock that is an argument.

mod absence;
mod book;
mod desk;
mod envelopes;
mod feiq;
mod inbox;
mod later;
mod offers;
mod office;
mod outbox;
mod pictures;
mod presence;
mod private;
mod roster;
mod running;
mod serving;
mod several;
mod untold;
