//! Where a model's operations run, as it is written on the command line.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use crate::error::{Error, Result};

/// `cpu`, `cuda`, `cuda:N` or `metal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    #[default]
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
    Metal,
}

impl DeviceChoice {
    /// The device itself.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a device that is not there, or that this program was not built for.
    pub fn open(self) -> Result<Device> {
        let opened = match self {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Cuda(number) => Device::new_cuda(number),
            DeviceChoice::Metal => Device::new_metal(0),
        };
        opened.map_err(|cause| {
            let fix = "leave out --device: everything runs on the CPU";
            Error::field(
                "--device",
                self,
                "a device of this machine that this program was built for",
                cause,
                fix,
            )
        })
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceChoice, String> {
        match (text, text.strip_prefix("cuda:").map(str::parse)) {
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cuda", _) => Ok(DeviceChoice::Cuda(0)),
            ("metal", _) => Ok(DeviceChoice::Metal),
            (_, Some(Ok(number))) => Ok(DeviceChoice::Cuda(number)),
            _ => Err("expected cpu, cuda, cuda:N or metal".into()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            DeviceChoice::Cpu => write!(f, "cpu"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
            DeviceChoice::Metal => write!(f, "metal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for text in ["cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
    }

    /// A build without GPUs says so; it never runs on the CPU in silence.
    #[test]
    fn a_device_that_is_not_built_in_is_refused() {
        let message = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(
            message.contains("--device") && message.contains("cuda:0") && message.contains("fix:"),
            "{message}"
        );
    }
}
