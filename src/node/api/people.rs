//! People as the user wants them: own names for them, and whom we are deaf to.

use serde::{Deserialize, Serialize};

use super::Target;

/// An own name for a peer or an address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alias {
    /// The name; case counts.
    pub name: String,
    /// Whom it stands for: an identity, whatever its address, or an address, whoever is there.
    pub target: Target,
}

impl Alias {
    /// Most bytes of a name.
    pub const NAME_MAX: usize = 64;

    /// Whether a name can be one: neither empty nor too long, no control characters, no `@` in front,
    /// which means groups.
    pub fn is_name(name: &str) -> bool {
        !name.trim().is_empty()
            && name.len() <= Self::NAME_MAX
            && !name.starts_with('@')
            && !name.chars().any(char::is_control)
    }
}
