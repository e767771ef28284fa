/* Slots: attributes at a fixed place in their objects (`__slots__`, fields of msgspec's structs).

   Read and set without a look-up by name. An object must be of the very type that its offset was taken of. */
#ifndef WAYPOST_SLOTS_H
#define WAYPOST_SLOTS_H

#include <Python.h>
#include <structmember.h>

/* Return where a type's slot lies in its objects, or -1 with an exception if the attribute is no slot. */
static Py_ssize_t slot_offset(PyObject *type, const char *name) {
    PyObject *descriptor = PyObject_GetAttrString(type, name);
    Py_ssize_t offset = -1;
    if (!descriptor) return -1;
    if (Py_TYPE(descriptor) == &PyMemberDescr_Type) {
        PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        if (member->type == T_OBJECT_EX || member->type == T_OBJECT) offset = member->offset;
    }
    Py_DECREF(descriptor);
    if (offset <= 0) PyErr_Format(PyExc_TypeError, "%s is no slot of %R", name, type);
    return offset <= 0 ? -1 : offset;
}

/* The value, borrowed: what has the object must keep it, and not set the slot meanwhile. */
static inline PyObject *slot_value(PyObject *object, Py_ssize_t offset) {
    return *(PyObject **)((char *)object + offset);
}

static inline int slot_is(PyObject *object, Py_ssize_t offset, PyObject *value) {
    return slot_value(object, offset) == value;
}

static inline void slot_set(PyObject *object, Py_ssize_t offset, PyObject *value) {
    PyObject **place = (PyObject **)((char *)object + offset), *former = *place;
    Py_INCREF(value);
    *place = value;
    Py_XDECREF(former);
}

#endif
