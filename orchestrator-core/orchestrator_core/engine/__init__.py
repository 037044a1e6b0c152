"""llama.cpp in a process of its own, shared by all answers.

    server's process                             engine process
    supervisor   keeps it alive                  worker       main program, listens to the server
    watchdog     when to end it (pure)  channel  loop         plan, decode, sample, send
    process      one life of it        <------>  scheduler    what to compute next (pure)
    load_failure why it cannot start             cache, prefix_tree, plan, chunk   its parts (pure)
    json_grammar schemas as grammars (pure)
    stream       one answer's text               native       llama.cpp through ctypes (nothing else imports it)
                                                 tokenizer, sampling, constraint, answer, embedding
                                                 embedding_engine, embedding_queue   instead of loop, for a model
                                                              that only makes embeddings
                                                 outbox       what the server is told
                                                 pin, saved_prefix   the pinned prefix on disk

The left column never imports the right one: the server stays small, and a native crash costs a restart.
"""
