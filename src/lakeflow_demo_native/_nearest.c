/* The inner loop of a nearest-neighbours search, on buffers (PEP 3118), without numpy's headers. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Whether `view` is a non-empty table of items of 8 bytes whose format is one of `codes`. */
static int
is_table(const Py_buffer *view, const char *codes, const char *name, const char *type)
{
    const char *format = view->format == NULL ? "B" : view->format;
    if (*format == '@' || *format == '=' || (PY_LITTLE_ENDIAN && *format == '<')) {
        format++;
    }
    if (strlen(format) != 1 || strchr(codes, *format) == NULL || view->itemsize != 8) {
        PyErr_Format(PyExc_TypeError, "%s must be a buffer of %s", name, type);
        return 0;
    }
    if (view->ndim != 2 || view->shape[0] < 1 || view->shape[1] < 1) {
        PyErr_Format(PyExc_ValueError, "%s must be 2-dimensional and not empty", name);
        return 0;
    }
    return 1;
}

static double
squared_distance(const double *a, const double *b, Py_ssize_t dimensions)
{
    double sum = 0.0;
    for (Py_ssize_t i = 0; i < dimensions; i++) {
        double difference = a[i] - b[i];
        sum += difference * difference;
    }
    return isnan(sum) ? INFINITY : sum;
}

/* Insert each point into the `k` best of one query; `distances` holds `k` doubles. */
static void
search(const double *points, Py_ssize_t n, const double *query, Py_ssize_t dimensions,
       int64_t *found, double *distances, Py_ssize_t k)
{
    Py_ssize_t held = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        double distance = squared_distance(points + i * dimensions, query, dimensions);
        if (held == k && !(distance < distances[k - 1])) {
            continue;
        }
        Py_ssize_t at = held < k ? held++ : k - 1;
        for (; at > 0 && distance < distances[at - 1]; at--) {
            distances[at] = distances[at - 1];
            found[at] = found[at - 1];
        }
        distances[at] = distance;
        found[at] = (int64_t)i;
    }
}

/* Search with checked buffers; 0, or -1 with an exception set. */
static int
search_all(const Py_buffer *points, const Py_buffer *queries, const Py_buffer *found)
{
    if (!is_table(points, "d", "points", "doubles") || !is_table(queries, "d", "queries", "doubles")
        || !is_table(found, "lq", "found", "64-bit integers")) {
        return -1;
    }
    Py_ssize_t n = points->shape[0], m = queries->shape[0], dimensions = points->shape[1];
    Py_ssize_t k = found->shape[1];
    if (queries->shape[1] != dimensions) {
        PyErr_Format(PyExc_ValueError, "points have %zd dimensions, but queries have %zd",
                     dimensions, queries->shape[1]);
        return -1;
    }
    if (found->shape[0] != m) {
        PyErr_Format(PyExc_ValueError, "found has %zd rows for %zd queries", found->shape[0], m);
        return -1;
    }
    if (k > n) {
        PyErr_Format(PyExc_ValueError, "k is %zd, but there are %zd points", k, n);
        return -1;
    }
    /* k doubles fit: a buffer of m * k items of the same size exists. */
    double *distances = PyMem_Malloc((size_t)k * sizeof(double));
    if (distances == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < m; i++) {
        search(points->buf, n, (const double *)queries->buf + i * dimensions, dimensions,
               (int64_t *)found->buf + i * k, distances, k);
    }
    Py_END_ALLOW_THREADS
    PyMem_Free(distances);
    return 0;
}

static PyObject *
nearest_into(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *points_from, *queries_from, *found_in;
    if (!PyArg_ParseTuple(arguments, "OOO:nearest_into", &points_from, &queries_from, &found_in)) {
        return NULL;
    }
    const int table = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT;
    Py_buffer points, queries, found;
    int status = -1;
    if (PyObject_GetBuffer(points_from, &points, table) < 0) {
        return NULL;
    }
    if (PyObject_GetBuffer(queries_from, &queries, table) == 0) {
        if (PyObject_GetBuffer(found_in, &found, table | PyBUF_WRITABLE) == 0) {
            status = search_all(&points, &queries, &found);
            PyBuffer_Release(&found);
        }
        PyBuffer_Release(&queries);
    }
    PyBuffer_Release(&points);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"nearest_into", nearest_into, METH_VARARGS,
     PyDoc_STR("nearest_into(points, queries, found, /)\n--\n\n"
               "Write the indices of the found.shape[1] nearest points of each query to found.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_nearest",
    .m_doc = PyDoc_STR("The inner loop of a nearest-neighbours search."),
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__nearest(void)
{
    return PyModuleDef_Init(&module);
}
