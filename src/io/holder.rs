//! Who holds a port, as far as the system tells: for the error a user sees.

use std::fs;
use std::path::Path;

/// The name and process id of a program that holds this UDP or TCP port: `FeiQ (process 4711)`.
/// None where the system does not say: another user's process, or a system without `/proc`.
pub(crate) fn holder(port: u16) -> Option<String> {
    let sockets: Vec<String> = ["udp", "udp6", "tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(Path::new("/proc/net").join(table)).ok())
        .flat_map(|table| inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let process = processes
        .filter(|process| process.file_name().to_string_lossy().parse::<u32>().is_ok())
        .find(|process| holds(&process.path(), &sockets))?;
    let name = fs::read_to_string(process.path().join("comm")).ok()?;
    let pid = process.file_name();
    Some(format!("{} (process {})", name.trim(), pid.to_string_lossy()))
}

/// The sockets bound to this port, from a table of `proc_pid_net(5)`: the second field is the local
/// address and port in hex, the fourth the state, the tenth the inode. Connections that are over
/// have no inode.
fn inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let bound = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let inode = fields.nth(7)?;
        (local.ends_with(&suffix) && inode != "0").then(|| inode.to_owned())
    });
    bound.collect()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        fs::read_link(descriptor.path()).is_ok_and(|target| {
            target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_sockets_are_found() {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let holder = holder(port).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                     uid  timeout inode ref pointer drops\n  \
                     1: 00000000:0979 00000000:0000 07 00000000:00000000 00:00000000 00000000  \
                     1000        0 12345 2 0000000000000000 0\n";
        assert_eq!(inodes(table, 2425), ["12345"]);
        assert!(inodes(table, 2426).is_empty());
    }
}
