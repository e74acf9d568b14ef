//! Counts primes with the sieve of Eratosthenes.

use pyo3::prelude::*;

/// How many primes there are below a limit.
#[pyfunction]
fn count_below(py: Python<'_>, limit: usize) -> usize {
    py.allow_threads(|| {
        if limit < 3 {
            return 0;
        }
        let mut prime = vec![true; limit];
        prime[0] = false;
        prime[1] = false;
        let mut number = 2;
        while number * number < limit {
            if prime[number] {
                for multiple in (number * number..limit).step_by(number) {
                    prime[multiple] = false;
                }
            }
            number += 1;
        }
        prime.iter().filter(|&&it| it).count()
    })
}

#[pymodule]
fn _primes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(count_below, module)?)
}
