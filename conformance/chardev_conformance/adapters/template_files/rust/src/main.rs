//! The line protocol of chardev (docs/protocol.rst), and the device in `device.rs`, which is to be filled in.

mod device;
mod json;

use json::Json;
use std::collections::HashMap;
use std::io::{self, BufRead, Write};

/// What ends a call otherwise than by returning.
pub enum Stop {
    /// The contract forbids the call, or the data is bad: the broken rule, and why.
    Refused(String, String),
    /// The first callback that raised, by the number that the checker gave it.
    Raised(i64),
    /// This is not there yet.
    Missing(String),
}

/// The checker's side.
#[derive(Default)]
pub struct Host {
    devices: HashMap<String, device::Shared>,
    ports: HashMap<String, bool>,
}

impl Host {
    /// Whether a port announces writability.
    pub fn announces_writability(&self, port: &str) -> bool {
        self.ports.get(port).copied().unwrap_or(false)
    }

    /// Make a callback of a device; meanwhile the checker may call any device.
    pub fn callback(&mut self, device: &str, name: &str, arguments: Vec<(&str, Json)>) -> Result<Json, Stop> {
        send(&Json::object(vec![
            ("callback", Json::text(name)),
            ("device", Json::text(device)),
            ("arguments", Json::object(arguments)),
        ]));
        loop {
            let message = receive();
            if let Some(number) = message.get("raise").and_then(Json::number) {
                return Err(Stop::Raised(number));
            }
            if let Some(answer) = message.get("answer") {
                return Ok(answer.clone());
            }
            self.perform(&message);
        }
    }

    /// Arm the retry timer, or disarm it with `None`.
    pub fn retry_timer(&self, device: &str, delay: Option<i64>) {
        send(&Json::object(vec![
            ("timer", Json::text("retry")),
            ("device", Json::text(device)),
            ("delay", delay.map_or(Json::Null, Json::Number)),
        ]));
    }

    /// Arm a client's wait timer, or disarm it with `None`.
    pub fn wait_timer(&self, device: &str, client: &str, delay: Option<i64>) {
        send(&Json::object(vec![
            ("timer", Json::text("wait")),
            ("device", Json::text(device)),
            ("client", Json::text(client)),
            ("delay", delay.map_or(Json::Null, Json::Number)),
        ]));
    }

    fn perform(&mut self, message: &Json) {
        let call = message.get("call").and_then(Json::as_text).unwrap_or_default();
        let name = message.get("device").and_then(Json::as_text).unwrap_or_default();
        let arguments = message.get("arguments").cloned().unwrap_or(Json::Null);
        let result = if call == "create" {
            device::create(self, &name, &arguments).map(|created| {
                self.devices.insert(name, created);
                Json::Null
            })
        } else {
            match self.devices.get(&name).cloned() {
                Some(device) => device::perform(self, &device, &call, &arguments),
                None => Err(Stop::Missing("create".to_string())),
            }
        };
        send(&match result {
            Ok(value) => Json::object(vec![("return", value)]),
            Err(Stop::Refused(rule, why)) => {
                Json::object(vec![("refused", Json::text(&rule)), ("message", Json::text(&why))])
            }
            Err(Stop::Raised(number)) => Json::object(vec![("raised", Json::Number(number))]),
            Err(Stop::Missing(what)) => Json::object(vec![("missing", Json::text(&what))]),
        });
    }
}

fn send(message: &Json) {
    let mut output = io::stdout().lock();
    if writeln!(output, "{message}").and_then(|()| output.flush()).is_err() {
        std::process::exit(0);
    }
}

fn receive() -> Json {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(size) if size > 0 => json::parse(&line).unwrap_or(Json::Null),
        _ => std::process::exit(0),
    }
}

fn main() {
    send(&Json::object(vec![(
        "hello",
        Json::object(vec![
            ("protocol", Json::Number(1)),
            ("name", Json::text("my device")),
            ("moves_per_call", Json::Null),
        ]),
    )]));
    let mut host = Host::default();
    loop {
        let message = receive();
        let Some(begin) = message.get("begin") else {
            host.perform(&message);
            continue;
        };
        host = Host::default();
        if let Some(Json::Object(ports)) = begin.get("ports") {
            for (name, announces) in ports {
                host.ports.insert(name.clone(), *announces == Json::Bool(true));
            }
        }
        send(&Json::object(vec![("ready", Json::object(vec![]))]));
    }
}
