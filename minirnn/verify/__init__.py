"""Inputs on which every part of the library is checked, here and on other people's machines."""
