// Counts primes with the sieve of Eratosthenes.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <vector>

namespace {

std::size_t count_primes(std::size_t limit) {
    if (limit < 3) return 0;
    std::vector<bool> prime(limit, true);
    prime[0] = prime[1] = false;
    for (std::size_t n = 2; n * n < limit; ++n) {
        if (!prime[n]) continue;
        for (std::size_t multiple = n * n; multiple < limit; multiple += n) prime[multiple] = false;
    }
    return static_cast<std::size_t>(std::count(prime.begin(), prime.end(), true));
}

PyObject* count_below(PyObject*, PyObject* argument) {
    const Py_ssize_t limit = PyLong_AsSsize_t(argument);
    if (limit < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "limit must not be negative");
        return nullptr;
    }
    try {
        return PyLong_FromSize_t(count_primes(static_cast<std::size_t>(limit)));
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}

PyMethodDef methods[] = {
    {"count_below", count_below, METH_O, "How many primes there are below a limit."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_primes", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__primes() { return PyModule_Create(&module); }
