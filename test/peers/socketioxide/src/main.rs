//! The bench application on socketioxide; see ../README.md.

use std::env;

use axum::Router;
use rmpv::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

/// A burst has to fit into a socket's buffer: with the default of 128 packets the rest of it is refused.
const MAX_BUFFER: usize = 1024;

async fn on_connect(socket: SocketRef) {
    socket.on("echo", async |Data::<Value>(argument), ack: AckSender| {
        ack.send(&argument).ok();
    });
    socket.on("join", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.join(room);
        ack.send::<[(); 0]>(&[]).ok();
    });
    socket.on("room", async |io: SocketIo, Data::<(String, Value)>((room, payload))| {
        io.to(room).emit("room", &payload).await.ok();
    });
    socket.on("bcast", async |io: SocketIo, Data::<Value>(payload)| {
        io.emit("b", &payload).await.ok();
    });
    socket.on("burst", async |io: SocketIo, Data::<(u32, Value)>((count, payload))| {
        for i in 0..count {
            io.emit("b", &(i, &payload)).await.ok();
        }
    });
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("?")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().collect();
    if args.iter().any(|a| a == "--version") {
        println!("socketioxide {}, axum {}, tokio {}", locked("socketioxide"), locked("axum"), locked("tokio"));
        return Ok(());
    }
    let flag = |name: &str, default: &str| {
        args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).map_or(default.to_owned(), Clone::clone)
    };
    let (layer, io) = SocketIo::builder().max_buffer_size(MAX_BUFFER).build_layer();
    io.ns("/", on_connect);
    let address = format!("{}:{}", flag("--host", "127.0.0.1"), flag("--port", "3000"));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}
