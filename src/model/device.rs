//! Where a model's operations run, and how exactly, as it is written on the command line.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use candle_core::Device;

use super::ops::{Backend, Precision};
use crate::error::{Error, Result};

/// `cpu`, `cpu:composed`, `cuda`, `cuda:N` or `metal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// Our own operations.
    #[default]
    Cpu,
    /// The operations that GPUs run, on the CPU: slow, to hold one against the other.
    Composed,
    /// The GPU of this number.
    Cuda(usize),
    Metal,
}

impl DeviceChoice {
    /// Whether its products can be rounded so.
    pub fn has(self, precision: Precision) -> bool {
        match precision {
            Precision::Float32 => true,
            Precision::Tf32 => matches!(self, DeviceChoice::Cuda(_)),
            Precision::Bf16 => self != DeviceChoice::Cpu,
        }
    }

    /// Whether this program can have it.
    pub fn is_built(self) -> bool {
        match self {
            DeviceChoice::Cpu | DeviceChoice::Composed => true,
            DeviceChoice::Cuda(_) => cfg!(feature = "cuda"),
            DeviceChoice::Metal => cfg!(feature = "metal"),
        }
    }

    /// The device itself.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a device that is not there, or that this program was not built for.
    pub fn open(self) -> Result<Device> {
        // One for the process: a command may open several checkpoints, whose tensors meet.
        static OPEN: Mutex<Option<(DeviceChoice, Device)>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, device)) = open.as_ref().filter(|(choice, _)| *choice == self) {
            return Ok(device.clone());
        }
        let opened = match self {
            DeviceChoice::Cpu | DeviceChoice::Composed => Ok(Device::Cpu),
            DeviceChoice::Cuda(number) => Device::new_cuda(number),
            DeviceChoice::Metal => Device::new_metal(0),
        };
        let device = opened.map_err(|cause| {
            let fix = "build with --features cuda or metal on a machine that has it, or leave out --device: everything runs on the CPU";
            // What follows the first line is where in the code it was found.
            let cause = cause.to_string();
            let cause = cause.lines().next().unwrap_or_default();
            Error::field(
                "--device",
                self,
                "a device of this machine that this program was built for",
                cause,
                fix,
            )
        })?;
        *open = Some((self, device.clone()));
        Ok(device)
    }
}

/// A device, and how its products are rounded.
#[derive(Clone, Debug)]
pub struct Opened {
    pub device: Device,
    pub backend: Backend,
    /// What the bits of its results depend on; none for the CPU, whose own name says it.
    pub arithmetic: Option<String>,
}

impl DeviceChoice {
    /// The device, whose products from now on are of this precision.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and for a precision that the device does not have.
    pub fn open_with(self, precision: Precision) -> Result<Opened> {
        if !self.has(precision) {
            let sentence = format!("the device {self} does not have {precision}");
            let fix = "give --device cuda, which has both, or leave out --precision";
            return Err(Error::said("--precision", sentence, fix));
        }
        let device = self.open()?;
        candle_core::cuda::set_gemm_reduced_precision_f32(precision == Precision::Tf32);
        let kind = match self {
            DeviceChoice::Cpu => return Ok(Opened { device, backend: Backend::Fused, arithmetic: None }),
            DeviceChoice::Composed => "composed on the CPU",
            DeviceChoice::Cuda(_) => "cuda",
            DeviceChoice::Metal => "metal",
        };
        let arithmetic = [kind.into(), precision.to_string(), name(&device)].join(" ").trim().to_string();
        Ok(Opened { device, backend: Backend::Composed(precision), arithmetic: Some(arithmetic) })
    }
}

/// The name of a GPU, where its driver says it.
#[cfg(feature = "cuda")]
fn name(device: &Device) -> String {
    let device = device.as_cuda_device().ok();
    device.and_then(|device| device.cuda_stream().context().name().ok()).unwrap_or_default()
}

#[cfg(not(feature = "cuda"))]
fn name(_: &Device) -> String {
    String::new()
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceChoice, String> {
        match (text, text.strip_prefix("cuda:").map(str::parse)) {
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cpu:composed", _) => Ok(DeviceChoice::Composed),
            ("cuda", _) => Ok(DeviceChoice::Cuda(0)),
            ("metal", _) => Ok(DeviceChoice::Metal),
            (_, Some(Ok(number))) => Ok(DeviceChoice::Cuda(number)),
            _ => Err("expected cpu, cuda, cuda:N, metal or cpu:composed".into()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            DeviceChoice::Cpu => write!(f, "cpu"),
            DeviceChoice::Composed => write!(f, "cpu:composed"),
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
        for text in ["cpu", "cpu:composed", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
    }

    /// The CPU has no other precision, and says so.
    #[test]
    fn a_precision_that_the_device_does_not_have_is_refused() {
        let opened = DeviceChoice::Cpu.open_with(Precision::Float32).unwrap();
        assert!(opened.device.is_cpu() && opened.arithmetic.is_none());
        for (device, precision) in [
            (DeviceChoice::Cpu, Precision::Tf32),
            (DeviceChoice::Cpu, Precision::Bf16),
            (DeviceChoice::Composed, Precision::Tf32),
        ] {
            let message = device.open_with(precision).unwrap_err().to_string();
            let named = [precision.to_string(), device.to_string(), "--precision".into()];
            assert!(named.iter().all(|name| message.contains(name)), "{message}");
        }
        assert!(DeviceChoice::Composed.open_with(Precision::Bf16).is_ok());
    }

    /// What the driver says of a full device becomes what to do about it.
    #[test]
    fn a_full_device_is_no_riddle() {
        let said = candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, ...)".into());
        let message = Error::from(said).to_string();
        assert!(message.contains("memory is full") && message.contains("fix:"), "{message}");
        assert!(matches!(Error::from(candle_core::Error::Msg("other".into())), Error::Tensor(_)));
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
