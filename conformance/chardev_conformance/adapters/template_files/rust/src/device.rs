//! The device, to be filled in.

use crate::json::Json;
use crate::{Host, Stop};
use std::cell::RefCell;
use std::rc::Rc;

/// The state of one device; callbacks may call it again, so borrow it for moments only, and never across a callback.
pub struct Device {
    pub name: String,
}

pub type Shared = Rc<RefCell<Device>>;

fn missing<T>(what: &str) -> Result<T, Stop> {
    Err(Stop::Missing(what.to_string()))
}

/// `create`; replace the first line by the device's own state.
pub fn create(_host: &mut Host, name: &str, _arguments: &Json) -> Result<Shared, Stop> {
    missing::<()>("create")?;
    Ok(Rc::new(RefCell::new(Device { name: name.to_string() })))
}

/// Every other call; what it returns is in docs/protocol.rst.
pub fn perform(host: &mut Host, device: &Shared, call: &str, _arguments: &Json) -> Result<Json, Stop> {
    match call {
        // An example of a callback; the name is cloned, so that the device is not borrowed meanwhile.
        "port_failed" => {
            let name = device.borrow().name.clone();
            host.callback(&name, "port_failed", vec![])
        }
        _ => missing(call),
    }
}
