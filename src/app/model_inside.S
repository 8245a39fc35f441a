/* The bytes of HAIKUDA_MODEL_INSIDE (set by CMake), aligned for the tensors' sake. */
    .section .rodata
    .balign 64
    .globl haikuda_model_inside_begin
haikuda_model_inside_begin:
    .incbin HAIKUDA_MODEL_INSIDE
    .globl haikuda_model_inside_end
haikuda_model_inside_end:
    .byte 0
    .section .note.GNU-stack,"",%progbits
