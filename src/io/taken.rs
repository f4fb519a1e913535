//! Which links took what a reply is about: only the sockets know.

use crate::node::{Link, LinkId, Refusal, Reply};

/// Whether the reply names links that something left through.
pub(super) fn names_links(reply: &Reply) -> bool {
    matches!(reply, Reply::Sent { links, .. } if !links.is_empty())
}

/// The reply without the links that took nothing (`took`: those that did); a refusal where none
/// took anything.
pub(super) fn as_taken(mut reply: Reply, links: &[Link], took: &[LinkId]) -> Reply {
    if !names_links(&reply) {
        return reply;
    }
    if took.is_empty() {
        return Reply::Refused(Refusal::NotTaken);
    }
    if let Reply::Sent { links: names, .. } = &mut reply {
        let taken =
            |name: &String| links.iter().any(|link| link.name == *name && took.contains(&link.id));
        names.retain(taken);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::PacketNo;

    fn sent(names: &[&str]) -> Reply {
        let links = names.iter().map(|&name| name.to_owned()).collect();
        Reply::Sent { number: PacketNo(7), to: Vec::new(), links, offered: 0 }
    }

    #[test]
    fn only_links_that_took_something_are_named() {
        let link = |id, name: &str| {
            let (v4, v6) = (Vec::new(), Vec::new());
            Link { id: LinkId(id), name: name.to_owned(), v4, v6, multicast: false }
        };
        let links = [link(2, "eth0"), link(3, "wlan0")];
        let both = || sent(&["eth0", "wlan0"]);
        assert_eq!(as_taken(both(), &links, &[LinkId(2), LinkId(3)]), both());
        assert_eq!(as_taken(both(), &links, &[LinkId(3), LinkId(3)]), sent(&["wlan0"]));
        assert_eq!(as_taken(both(), &links, &[]), Reply::Refused(Refusal::NotTaken));
        assert_eq!(as_taken(sent(&[]), &links, &[]), sent(&[]), "a message to one peer");
    }
}
