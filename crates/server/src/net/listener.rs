//! Listening sockets and the loop that accepts from them.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long the loop waits when the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// After this much silence the kernel asks whether the other side is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(300);

/// An address that is taken; clients cannot connect yet.
#[derive(Debug)]
pub(crate) struct Bound(Socket);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    /// Where it listens, with the port that was chosen for port 0.
    pub(crate) address: SocketAddr,
}

/// Takes an address. `[::]` is for IPv4, too, and on a machine without IPv6 for IPv4 only.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
    match bind_exactly(address) {
        Err(error)
            if error.raw_os_error() == Some(libc::EAFNOSUPPORT)
                && address.ip().is_unspecified() =>
        {
            bind_exactly(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    }
}

fn bind_exactly(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // Some systems default to IPv6 only.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(Bound(socket))
}

impl Bound {
    /// Lets clients connect.
    pub(crate) fn listen(self) -> io::Result<Listener> {
        self.0.listen(BACKLOG)?;
        let listener = TcpListener::from_std(self.0.into())?;
        let address = listener.local_addr()?;
        Ok(Listener { listener, address })
    }
}

/// Accepts until `stop` is ready, handing every connection to `serve`.
pub(crate) async fn accept_loop<F>(listener: Listener, stop: impl Future<Output = ()>, serve: F)
where
    F: Fn(TcpStream, SocketAddr),
{
    tokio::pin!(stop);
    let mut complained = false;
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                complained = false;
                prepare(&stream);
                serve(
                    stream,
                    SocketAddr::new(peer.ip().to_canonical(), peer.port()),
                );
            }
            // The client went away before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // No file descriptors or memory: the connection stays in the queue, so that accepting
            // again at once would spin.
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    tracing::error!(
                        %error,
                        listener = %listener.address,
                        "cannot accept connections; if it is \"too many open files\", raise the \
                         limit (LimitNOFILE= in systemd, ulimit -n)"
                    );
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn prepare(stream: &TcpStream) {
    // Neither matters enough to refuse a client.
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(Duration::from_secs(60))
        .with_retries(5);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::{mpsc, oneshot};

    #[tokio::test]
    async fn it_listens_on_a_chosen_port_and_stops() {
        let listener = bind("127.0.0.1:0".parse().unwrap())
            .unwrap()
            .listen()
            .unwrap();
        let address = listener.address;
        assert_ne!(address.port(), 0);
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, mut accepted) = mpsc::unbounded_channel();
        let running = tokio::spawn(accept_loop(
            listener,
            async {
                let _ = stopped.await;
            },
            move |stream, peer| sender.send((stream, peer)).unwrap(),
        ));
        let client = TcpStream::connect(address).await.unwrap();
        let (stream, peer) = accepted.recv().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        stop.send(()).unwrap();
        running.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn the_unspecified_ipv6_address_takes_ipv4_too() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap().listen().unwrap();
        let port = listener.address.port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    }
}
