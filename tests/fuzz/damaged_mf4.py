"""An MF4 file whose records lie outside its memory once asammdf reads them: found by `log_target`."""

from __future__ import annotations

import base64
import lzma
from typing import Final

_PACKED: Final = (
    "T>t<81poj4|NsC0{{SYD1mI$ZuA5$ZAbrTjKsqf<|GO83guhM0h8qeML~$)E#c%m@<3u`vhRGnnvUi=%cfm!WL(o~4MUuG{2Anxw"
    "ir+mVyA@KwoprszFdC}niZ%SCs<RtRZN28<XWJW4IIB&O!QIcYAeQAQkj*_-8{k9N6l7WYCH3b@1FMLCn5UA{fL#`f8V$(V*S0=1"
    "U}3=37RodBoDM1(#O>F<cx)vWDz@HWs%gg}9v415t{C@=KNTIkDHUd!Y=^N>8KA>>TuLk-;l9E+1lZq0wJ+UzKj|WQtM?>0p4JEt"
    "m(u8zAMl=xPiyx^L60Vse3^pZ0C<(33GN_}ru<GeR%<<q8VUZ79b5eI8nk@k0(|w^*4urev75^Awe3^*P?o9FvRkifY1q1qFs~aN"
    "&2wcBn^^wk7(S?LZ{gMRwg?5Yr`gOR){KxYOtWwG=rtz^4WsCS*Ux`YueQ(v@eDd?tOYIVZe;IIY==X}CP}eyOTd4WL<155KBH@U"
    "N0~^vO5{HBjruAn`|{*0zwO~&Q<mZ4Dw*7wKVbdIP`&A`M@hI%77Rj*(`g;Sg|@}8Z!whqYI0b{a{g<0!^*hIl~q?xMPphr{iY>y"
    "8wtq!tQ%MGg-0?WrAS>VUuix$=V}p$(W*t}PC=CfIEvTP%2jD26v#AQcTlONnduWT13H&*)8u}1u7`+NmwQR;Yjt)*X>vRJYWz~A"
    "dAZ@li2CLMH6kfn=Pk<6X?i-ilJ&_1GFb?wcM~;Hzq36XRE$Ntmov3QB*P%Ih0hNCfmlnPyn}dot(4M8!~3|W{H7Y{SE^201>9-u"
    "q$(-tWT2&xQlI0g>!%)MO}7}of564C1Q^Fg_jTjiNu5b*J9&L3zJ8=0;fausfo3zrXIU^67|v32UgoAvA)u{h=Jy(82@oi#ix_Iv"
    "Cidrw*gKGfCqycnN<#kmz8U`h4oj4}jiSW7vdn(`@0_={%zA{AC+F8dKGvs^WO*wDD}X@5x;z`bTc(@;9)6j_+)G>&{bDNkQ}m12"
    "9A(_@A#{(L<JcajNwM}m7uXfyI7}7p1M@PnAn^#7;ca5h&Nw9|+bd5%7sy89PLum;Wu#T_0_INhHo^53TqFhT&TEb)BTjN0hvn0{"
    "O7I&}o9{CvaJ?f{kcQ51?<J#0pmW9pa%-06w*$*~3I)#r<%h|b0lt&50q8O15_B#29*h#y1z}Jq-3|+G5O%O*59bk+hOt>gLxwOF"
    "XGD#{y-95OBoL+-C@UPE2he#AhyzcdcvsO_ZV)phy#QHE|7dYE00"
)

DAMAGED_MF4: Final = lzma.decompress(base64.b85decode(_PACKED))
"""It ended the process that read it, with SIGSEGV in `get_master`, where records are converted to times."""
