//! The stand-in by itself, and nginx and haproxy before it.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Endpoint, on_core};
use crate::process::Running;
use crate::scratch::Scratch;
use crate::setup::Proxies;
use crate::signals::{Interrupted, Signals, Woke};

/// Longest until one listens, or has ended.
const LIMIT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(20);

/// Three programs, ended when this is dropped.
pub(super) struct Rivals {
    running: Vec<Running>,
    socket: PathBuf,
    token: String,
    nginx_port: u16,
    haproxy_port: u16,
}

impl Rivals {
    /// Starts them.
    ///
    /// # Errors
    /// When one does not listen in time.
    pub(super) fn up(
        proxies: &Proxies,
        stand_in: &Path,
        scratch: &Scratch,
        token: &str,
        signals: &Signals,
    ) -> Result<Self> {
        let socket = scratch.path("standin.sock");
        let (nginx_port, haproxy_port) = (free_port()?, free_port()?);
        let upstream = socket.to_str().context("the directory has a name that is no text")?;
        let home = scratch.directory("rivals")?;
        let nginx_conf = home.join("nginx.conf");
        fs::write(&nginx_conf, nginx(&home, nginx_port, upstream, token))?;
        let haproxy_conf = home.join("haproxy.cfg");
        fs::write(&haproxy_conf, haproxy(haproxy_port, upstream, token))?;

        let mut rivals =
            Self { running: Vec::new(), socket, token: token.to_owned(), nginx_port, haproxy_port };
        let mut command = on_core(super::OTHER_CORE, stand_in);
        command.arg("--host").arg(&rivals.socket);
        rivals.start("stand-in", command, &home)?;
        let mut command = on_core(super::RELAY_CORE, &proxies.nginx);
        command.arg("-p").arg(&home).arg("-c").arg(&nginx_conf).arg("-e").arg("stderr");
        rivals.start("nginx", command, &home)?;
        let mut command = on_core(super::RELAY_CORE, &proxies.haproxy);
        command.arg("-db").arg("-f").arg(&haproxy_conf);
        rivals.start("haproxy", command, &home)?;
        rivals.wait_until_up(signals)?;
        Ok(rivals)
    }

    fn start(&mut self, name: &str, mut command: Command, home: &Path) -> Result<()> {
        let log = File::create(home.join(format!("{name}.log")))?;
        command.stdout(log.try_clone()?).stderr(log);
        self.running.push(Running::start(name, &mut command)?);
        Ok(())
    }

    fn wait_until_up(&mut self, signals: &Signals) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let ports = [self.nginx_port, self.haproxy_port];
        while UnixStream::connect(&self.socket).is_err()
            || ports.iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err())
        {
            ensure!(Instant::now() < deadline, "a rival does not listen");
            for running in &mut self.running {
                if let Some(status) = running.ended()? {
                    bail!("a rival ended ({status})");
                }
            }
            if signals.wait(None, Instant::now() + TICK)? == Woke::Asked {
                return Err(Interrupted.into());
            }
        }
        Ok(())
    }

    pub(super) fn direct(&self) -> Endpoint {
        Endpoint { to: self.socket.display().to_string(), token: self.token.clone() }
    }

    pub(super) fn nginx(&self) -> Endpoint {
        self.at(self.nginx_port)
    }

    pub(super) fn haproxy(&self) -> Endpoint {
        self.at(self.haproxy_port)
    }

    fn at(&self, port: u16) -> Endpoint {
        Endpoint { to: format!("127.0.0.1:{port}"), token: self.token.clone() }
    }
}

/// A port that is free now; whoever takes it before the rival does fails the benchmark.
fn free_port() -> Result<u16> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    nix::sys::socket::bind(
        socket.as_raw_fd(),
        &nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, 0),
    )?;
    let bound: nix::sys::socket::SockaddrIn = nix::sys::socket::getsockname(socket.as_raw_fd())?;
    Ok(bound.port())
}

/// One worker, keep-alive on both sides, pieces passed on as they come, no log.
fn nginx(home: &Path, port: u16, upstream: &str, token: &str) -> String {
    let home = home.display();
    // Else root's workers become `nobody`, who may not enter this directory.
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    format!(
        r#"daemon off;
{user}
worker_processes 1;
pid {home}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    keepalive_requests 100000000;
    upstream runtime {{ server unix:{upstream}; keepalive 128; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 16m;
        location / {{
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
            proxy_pass http://runtime;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Authorization "";
        }}
    }}
}}
"#
    )
}

/// One thread, keep-alive on both sides.
fn haproxy(port: u16, upstream: &str, token: &str) -> String {
    format!(
        r#"global
    nbthread 1
    maxconn 2048
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    option http-keep-alive
    option http-no-delay
    http-reuse always
frontend door
    bind 127.0.0.1:{port}
    http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {token}" }}
    http-request del-header authorization
    default_backend runtime
backend runtime
    server runtime unix@{upstream}
"#
    )
}
