@ No count: never comes back.
    .include "snippet.inc"
    SNIPPET
    b .
    END 0
