//! Every way into Postroom: the library, the command line
