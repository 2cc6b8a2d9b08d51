//! Factors of noise where they are used: the numbers of [`Noise::fill`], drawn on the device.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::dropout::Noise;
use crate::threads::grain;

/// Factors `[rows, width]`: row i has those of the values `firsts[i]` and the following.
pub fn factors(noise: Noise, firsts: Vec<i64>, width: usize, device: &Device) -> Result<Tensor> {
    let rows = firsts.len();
    // Metal has no such kernel.
    let at = if device.is_metal() { &Device::Cpu } else { device };
    Tensor::from_vec(firsts, rows, at)?.apply_op1_no_bwd(&Factors { noise, width })?.to_device(device)
}

/// From where each row's factors begin to the factors.
struct Factors {
    noise: Noise,
    width: usize,
}

impl CustomOp1 for Factors {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn cpu_fwd(&self, firsts: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((0, rows)) = layout.contiguous_offsets() else {
            bail!("noise: rows that are not in one piece")
        };
        let firsts = &firsts.as_slice::<i64>()?[..rows];
        let mut factors = vec![0f32; rows * self.width];
        let each = factors.par_chunks_mut(self.width.max(1)).zip(firsts).with_min_len(grain());
        each.for_each(|(row, first)| self.noise.fill(*first as u64, row));
        Ok((CpuStorage::F32(factors), Shape::from((rows, self.width))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        firsts: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};
        use candle_core::cuda_backend::{CudaStorage, WrapErr};

        let Some((0, rows)) = layout.contiguous_offsets() else {
            bail!("noise: rows that are not in one piece")
        };
        let device = firsts.device().clone();
        let kernel = device.get_or_load_custom_func("factors", "fisherscape-noise", cuda::ptx()?)?;
        let (gaussian, p, scale) = self.noise.numbers();
        let ([k0, k1], step) = self.noise.stream.counters();
        let (width, count) = (self.width as u32, (rows * self.width) as u64);
        // SAFETY: the kernel writes each of the `count` values once, and reads `rows` firsts.
        let mut factors = unsafe { device.alloc::<f32>(rows * self.width)? };
        let firsts = firsts.as_cuda_slice::<i64>()?;
        let gaussian = u32::from(gaussian);
        let mut launch = kernel.builder();
        launch.arg(firsts).arg(&width).arg(&count).arg(&k0).arg(&k1).arg(&step);
        launch.arg(&gaussian).arg(&p).arg(&scale).arg(&mut factors);
        // SAFETY: the arguments are the kernel's, in their order and types.
        unsafe { launch.launch(LaunchConfig::for_num_elems(count.clamp(1, 1 << 24) as u32)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(factors, device), Shape::from((rows, self.width))))
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::sync::OnceLock;

    use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
    use candle_core::{Error, Result};

    static PTX: OnceLock<String> = OnceLock::new();

    /// The kernel, compiled once in a process; products are rounded before they are added, as on the CPU.
    pub fn ptx() -> Result<&'static str> {
        if PTX.get().is_none() {
            let options = CompileOptions { fmad: Some(false), ..Default::default() };
            let ptx = compile_ptx_with_opts(include_str!("noise.cu"), options).map_err(Error::wrap)?;
            PTX.get_or_init(|| ptx.to_src());
        }
        PTX.get().map(String::as_str).ok_or_else(|| Error::Msg("noise: no kernel".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::dropout::noise::Kind;
    use crate::rng::Stream;

    /// The kernel as a program: it reads the arguments and prints the bits of each factor.
    const MAIN: &str = "
        #include <math.h>
        #include <stdio.h>
        #include <stdlib.h>
        #define __device__
        #define __global__
        struct { unsigned x; } gridDim = {1}, blockDim = {1}, blockIdx = {0}, threadIdx = {0};
        #include \"noise.cu\"
        int main(int n, char **a) {
            u32 width = atoi(a[1]);
            int rows = n - 9;
            long long *firsts = malloc(8 * rows);
            float *out = malloc(4 * rows * width);
            for (int i = 0; i < rows; i++) firsts[i] = strtoll(a[9 + i], 0, 10);
            u32 p = strtoul(a[7], 0, 10), scale = strtoul(a[8], 0, 10);
            factors(firsts, width, (u64)rows * width, strtoul(a[2], 0, 10), strtoul(a[3], 0, 10), strtoull(a[4], 0, 10),
                    atoi(a[5]), *(float *)&p, *(float *)&scale, out);
            for (int i = 0; i < rows * width; i++) printf(\"%u\\n\", ((u32 *)out)[i]);
        }";

    /// Oracle: the CPU's noise; the kernel's own source runs as C. Every half of step and counter is in use, rows begin inside
    /// blocks. Bernoulli noise has the same bits; Gaussian noise may differ by how a C library rounds. Catches a word of
    /// another block, an exchanged key, sine for cosine, a variance for a deviation.
    #[test]
    fn the_kernel_draws_what_the_cpu_draws() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("noise.cu"), include_str!("noise.cu")).unwrap();
        fs::write(at("main.c"), MAIN).unwrap();
        // What builds this crate has a compiler of C: two of its packages are C in part.
        let built = Command::new("cc")
            .args(["-O1", "-ffp-contract=off", "-w", "main.c", "-o", "main", "-lm"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let firsts = vec![0, 1, 2, 3, 1 << 34, (1 << 34) + 7];
        for kind in [Kind::Bernoulli, Kind::Gaussian, Kind::PaperGaussian] {
            let noise = Noise { kind, p: 0.3, stream: Stream::new(9, "dropout/x").at((1 << 33) + 5) };
            let (gaussian, p, scale) = noise.numbers();
            let ([k0, k1], step) = noise.stream.counters();
            let arguments = [
                37,
                k0.into(),
                k1.into(),
                step,
                gaussian.into(),
                0,
                p.to_bits().into(),
                scale.to_bits().into(),
            ];
            let words = arguments.iter().map(u64::to_string).chain(firsts.iter().map(i64::to_string));
            let said = Command::new(at("main")).args(words).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            let got: Vec<f32> = said.lines().map(|bits| f32::from_bits(bits.parse().unwrap())).collect();
            let wanted = factors(noise, firsts.clone(), 37, &Device::Cpu).unwrap();
            let wanted = wanted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(got.len(), wanted.len());
            let bound = if gaussian { f32::EPSILON * 4.0 } else { 0.0 };
            for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                assert!((got - wanted).abs() <= bound, "{kind:?} {i}: {got} and {wanted}");
            }
            // Of either outcome some.
            assert!(wanted.iter().any(|f| *f < 1.0) && wanted.iter().any(|f| *f > 1.0));
        }
    }
}
