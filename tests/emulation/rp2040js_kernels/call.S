/*
 * Calls one function with the arguments that the test put into `call`, once per run of
 * ../snippets/runtime.S. What is counted begins at `begin` and ends before `end`; the branch in
 * front makes `begin` the start of a basic block.
 */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .text
    .global snippet, begin, end, done
    .thumb_func
    .type snippet, %function
snippet:
    ldr r4, =call
    adds r4, #20
    sub sp, #24
    mov r6, sp
    ldmia r4!, {r0-r3, r5, r7}
    stmia r6!, {r0-r3, r5, r7}
    ldr r4, =call
    ldmia r4!, {r0-r3, r7}
    b begin
begin:
    blx r7
end:
    str r0, [r4, #24]
    add sp, #24
    ldr r0, =reset
done:
    bx r0
    .pool
    .size snippet, . - snippet

    .bss
    .balign 8
    .global call
call:
    .space 16                   @ r0 to r3
    .space 4                    @ the function
    .space 24                   @ the arguments on the stack
    .space 4                    @ what it returned
