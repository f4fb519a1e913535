//! The SQLite file: schema, migrations, and the one writer thread.
